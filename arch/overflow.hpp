#pragma once

/// Stack overflow, as far as the kernel knows it: a fault on an address, told to somebody who stands elsewhere. SIGSEGV
/// belongs to the program, so whoever had it keeps it: what is told here goes on to him.
///
/// With a sanitizer nothing of this happens: it reports faults itself.

#include <stackless/config.hpp>

STACKLESS_BEGIN
namespace arch::overflow {

/// Called in the handler of SIGSEGV with each address that could not be accessed, on the thread's alternate stack if it
/// has one.
using witness = void (*)(const void* address) noexcept;

/// Tells `w` of faults from now on. Then they go where they went before: to the program's handler, or to the kernel,
/// which ends the process.
void watch(witness w) noexcept;

/// The same, unless the program cares for faults: it handles or ignores SIGSEGV, or this thread has an alternate stack.
void watch_unless_handled(witness w) noexcept;

/// As before watch(), unless somebody else handles SIGSEGV by now.
void stop_watching() noexcept;

bool watches() noexcept;

/// Gives this thread an alternate stack until it ends, unless it has one. If memory is refused it has none: then an
/// overflow ends the process as it does without all this.
void provide_alternate_stack() noexcept;

}  // namespace arch::overflow
STACKLESS_END
