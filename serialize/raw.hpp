#pragma once

/// Reading stacks and blocks as plain memory, whatever lives in them.

#include <cstddef>
#include <cstdint>
#include <span>

#include <stackless/config.hpp>

STACKLESS_BEGIN
namespace snapshot {

/// The 64-bit word at `address`, a multiple of 8. Sanitizers are not asked: parked frames are full of their red zones.
[[gnu::no_sanitize_address, gnu::no_sanitize_thread]] inline std::uint64_t word_at(const std::byte* address) {
  using raw = const std::uint64_t __attribute__((may_alias));
  return *reinterpret_cast<raw*>(address);
}

/// The same for a range whose size is a multiple of 8.
[[gnu::no_sanitize_address, gnu::no_sanitize_thread]] inline void copy_words(std::byte* to, std::span<const std::byte> from) {
  using raw = std::uint64_t __attribute__((may_alias));
  for (std::size_t i = 0; i != from.size(); i += 8) {
    *reinterpret_cast<volatile raw*>(to + i) = *reinterpret_cast<const volatile raw*>(from.data() + i);
  }
}

}  // namespace snapshot
STACKLESS_END
