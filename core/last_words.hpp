#pragma once

/// What is said in the handler of a signal that ends the process.

#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include <stackless/detail/record.hpp>

#include "core/extras.hpp"

STACKLESS_BEGIN
namespace detail {

inline std::string_view name_of(const record* r) noexcept {
  return r->extras != nullptr ? std::string_view(r->extras->name) : std::string_view();
}

struct hexadecimal {
  std::uintptr_t value;
};

/// A text that is put together and written where nothing may be allocated. What is too long is cut.
class last_words {
 public:
  last_words& operator<<(std::string_view piece) noexcept {
    const std::size_t fits = std::min(piece.size(), sizeof text_ - length_);
    std::copy_n(piece.data(), fits, text_ + length_);
    length_ += fits;
    return *this;
  }
  last_words& operator<<(std::size_t number) noexcept { return put(number, 10); }
  last_words& operator<<(hexadecimal number) noexcept {
    *this << "0x";
    return put(number.value, 16);
  }
  last_words& operator<<(const record* r) noexcept {
    const std::string_view name = name_of(r);
    if (name.empty()) return *this << "a tasklet without a name";
    return *this << "tasklet '" << name.substr(0, longest_name) << "'";
  }
  void write_to(int descriptor) const noexcept {
    [[maybe_unused]] const ssize_t written = write(descriptor, text_, length_);
  }

 private:
  static constexpr std::size_t longest_name = 500;

  last_words& put(std::uintptr_t number, int base) noexcept {
    char digits[20];
    return *this << std::string_view(digits, std::to_chars(digits, digits + sizeof digits, number, base).ptr);
  }

  char text_[3 * longest_name];
  std::size_t length_ = 0;
};

}  // namespace detail
STACKLESS_END
