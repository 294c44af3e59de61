#pragma once

/// What happens when a tasklet has used up its stack: the access below it faults, and before the kernel ends the process
/// by SIGSEGV the tasklet is named on stderr.
///
///   stackless: stack overflow in tasklet 'parser': its stack of 171392 bytes is used up; give it more with
///   tasklet_options::stack_size, or look for a recursion that does not end
///
/// That takes a handler of SIGSEGV and an alternate stack for each thread. They are installed when a thread first uses
/// its scheduler, unless the program cares for SIGSEGV by then: it handles or ignores it, or has set an alternate stack.
/// Faults that are no overflow go where they went before; so does the overflow of a thread's own stack, which main runs
/// on. With AddressSanitizer or ThreadSanitizer, which report overflows themselves, nothing of this happens.
///
/// The same handler names who uses the stack of a parked tasklet that shared_slots::strict has closed. The hook is not
/// told of that.
///
/// The guard below a stack has an eighth of the size of its slot, 8 to 64 KiB. A frame that is larger can step over it
/// before it is touched, and then goes unnoticed: compile functions with such frames with -fstack-clash-protection.

#include <cstddef>
#include <string_view>

#include <stackless/config.hpp>

STACKLESS_BEGIN

struct overflow {
  std::string_view name;   ///< of the tasklet; empty if it has none
  std::size_t stack_size;  ///< bytes that its stack has
  const void* address;     ///< what it accessed
};

/// Called after the report, in the handler of SIGSEGV: only what is async-signal-safe may be done there. When it returns
/// the process ends. nullptr: nobody is called. Returns who was called before.
using overflow_callback = void (*)(const overflow&) noexcept;
overflow_callback overflow_hook(overflow_callback) noexcept;

/// Off: SIGSEGV is given back, and not taken again. On: it is taken even if the program handles it, whose handler is
/// called after the report; threads that have used their scheduler before and have no alternate stack stay without.
void report_overflows(bool on) noexcept;

STACKLESS_END
