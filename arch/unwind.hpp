#pragma once

/// The frames of a parked stack, found by the unwinder that the program's own exceptions use.

#include <cstdint>

#include <stackless/context.hpp>

STACKLESS_BEGIN
namespace arch {

/// One frame of a parked stack, as an unwinder sees it.
struct frame {
  std::uintptr_t pc;   ///< where it goes on
  std::uintptr_t low;  ///< its lowest byte; it ends where the frame that called it begins
};

/// Calls visit(argument, frame) for each frame of `parked`, innermost first, down to the trampoline. False if the walk
/// did not end at the trampoline: then nothing it found is to be believed.
///
/// The walk runs on the stack of the caller and needs none of the parked one: the CFI of a small assembly function
/// claims to have been called from the parked frame.
bool walk(const context& parked, void (*visit)(void* argument, frame), void* argument);

/// True for a context that has not run yet: it waits at the trampoline.
bool is_fresh(const context&) noexcept;

}  // namespace arch
STACKLESS_END
