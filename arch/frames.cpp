#include "arch/frames.hpp"

#if STACKLESS_ASAN

#include <cstdint>

extern "C" void __asan_get_shadow_mapping(std::size_t* scale, std::size_t* offset);

STACKLESS_BEGIN
namespace arch {
namespace {

struct mapping {
  mapping() { __asan_get_shadow_mapping(&scale, &offset); }
  std::size_t scale, offset;
};

mapping& shadow() {
  static mapping known;
  return known;
}

__attribute__((no_sanitize("address"))) std::byte* shadow_of(const std::byte* address) {
  return reinterpret_cast<std::byte*>((reinterpret_cast<std::uintptr_t>(address) >> shadow().scale) + shadow().offset);
}

std::size_t shadow_bytes(std::size_t bytes) { return (bytes >> shadow().scale) + 1; }

// Not std::memcpy, which would be checked.
__attribute__((no_sanitize("address"))) void copy_unchecked(std::byte* to, const std::byte* from, std::size_t bytes) {
  for (std::size_t i = 0; i != bytes; ++i) const_cast<volatile std::byte*>(to)[i] = from[i];
}

}  // namespace

std::size_t size_of_copy(std::size_t bytes) noexcept { return bytes + shadow_bytes(bytes); }

void copy_frames_out(std::byte* to, const std::byte* from, std::size_t bytes) noexcept {
  copy_unchecked(to, from, bytes);
  copy_unchecked(to + bytes, shadow_of(from), shadow_bytes(bytes));
}

void copy_frames_in(std::byte* to, const std::byte* from, std::size_t bytes) noexcept {
  copy_unchecked(shadow_of(to), from + bytes, shadow_bytes(bytes));
  copy_unchecked(to, from, bytes);
}

void make_copy(std::byte* to, const std::byte* from, std::size_t bytes) noexcept {
  std::memcpy(to, from, bytes);
  std::memset(to + bytes, 0, shadow_bytes(bytes));
}

}  // namespace arch
STACKLESS_END

#endif
