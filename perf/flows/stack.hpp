#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>

namespace perf {

/// Memory for the stack of a flow that does not bring its own.
class stack {
 public:
  static constexpr std::size_t size = std::size_t{64} << 10;

  std::byte* base() const { return memory_.get(); }
  std::byte* top() const { return base() + size - reinterpret_cast<std::uintptr_t>(base()) % 16; }

 private:
  std::unique_ptr<std::byte[]> memory_ = std::make_unique<std::byte[]>(size);
};

}  // namespace perf
