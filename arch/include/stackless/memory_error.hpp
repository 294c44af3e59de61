#pragma once

#include <new>

#include <stackless/config.hpp>

STACKLESS_BEGIN

/// Memory, or the range of addresses that holds all stacks and picklable blocks, could not be had. The text names
/// what was asked for, the address, what the kernel said, and the limit to raise. Carries its text in itself, because
/// it is thrown where nothing can be allocated.
class memory_error : public std::bad_alloc {
 public:
  /// printf-like; a text longer than the buffer is cut.
  [[gnu::format(printf, 2, 3)]] explicit memory_error(const char* format, ...) noexcept;

  const char* what() const noexcept override { return text_; }

 private:
  char text_[240];
};

STACKLESS_END
