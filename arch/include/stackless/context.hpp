#pragma once

#include <cstddef>

#include <stackless/config.hpp>

STACKLESS_BEGIN
namespace arch {

/// A suspended flow of control. Whoever suspends has put everything else that is live into its own frame.
///
///   higher addresses   | frames of the callers |
///                      | frame that suspended  |
///              sp ->   +-----------------------+
///                      | red zone (x86-64)     |   live as well
///   lower addresses    +-----------------------+
///
/// Not part of it: MXCSR, x87 control word, FPCR. They are the thread's; a tasklet that changes one restores it
/// before it gives way.
struct context {
  void* pc;    ///< where to go on: a landing pad
  void* sp;    ///< stack pointer there
  void* fp;    ///< rbp or x29 there
  void* base;  ///< rbx or x19 there: in a frame with alloca and over-aligned locals the compiler addresses by it
};

// Written out as numbers in the switch and in the assembly files.
static_assert(offsetof(context, pc) == 0 && offsetof(context, sp) == 8 && offsetof(context, fp) == 16 &&
              offsetof(context, base) == 24);

/// Bytes below the stack pointer that belong to the suspended frame.
#if defined(__x86_64__)
inline constexpr std::size_t red_zone = 128;
#else
inline constexpr std::size_t red_zone = 0;
#endif

extern "C" [[gnu::visibility("hidden")]] void stackless_trampoline();

/// What runs first on a fresh stack. It is handed its own context, and returns the one that goes on when it is over.
using entry = context* (*)(context* self);

/// A context that begins in `start`, on a stack that grows down from `top` (a multiple of 16).
inline context fresh_context(void* top, entry start) noexcept {
  return {.pc = reinterpret_cast<void*>(&stackless_trampoline),
          .sp = top,
          .fp = nullptr,
          .base = reinterpret_cast<void*>(start)};
}

/// Puts a context right that is about to go on; returns it, or another that goes on in its place.
using detour = context* (*)(context* to) noexcept;

/// A context on whose way lies `by`: it is called when somebody switches to it, on a stack of its own that grows down from
/// `top` (a multiple of 16).
context detoured_context(void* top, detour by) noexcept;
bool is_detoured(const context&) noexcept;

}  // namespace arch
STACKLESS_END
