#pragma once

/// What compilers find thread-local variables by, and may keep in a frame across a switch.

#include <cstdint>

#include <stackless/config.hpp>

STACKLESS_BEGIN
namespace arch {

[[gnu::always_inline]] inline std::uintptr_t thread_pointer() {
  std::uintptr_t p;
#if defined(__x86_64__)
  asm volatile("mov %%fs:0, %0" : "=r"(p));
#else
  asm volatile("mrs %0, tpidr_el0" : "=r"(p));
#endif
  return p;
}

}  // namespace arch
STACKLESS_END
