#pragma once

/// The switch between two native stacks.
///
///   context* self = switch_to(&mine, &other);   // runs `other`; comes back when somebody switches to `mine`
///
/// `switch_to` is inlined into its caller: four words go into `mine`, four come out of `other`, and a jump. Every
/// register it does not store is named as clobbered, so the compiler saves exactly those that are live. After it, use
/// only what it returns: locals computed before may be those of an earlier process.
///
/// Two kinds of code must not inline it and call `switch_out_of_line` (any function that is not inlined will do):
/// functions with a target attribute that adds registers, such as target("avx512f") in a file compiled without, and
/// callers whose compiler flags reserve a calling convention of their own. Switching is for ordinary flow of control:
/// never from a signal handler.
///
/// The unwinder is right at every instruction of a switch: between the first and the last load the CFI describes a
/// frame whose caller is the suspended one, found through the words just stored.

#include <stackless/context.hpp>

#if defined(__x86_64__)
#include <stackless/switch_x86_64.hpp>
#else
#include <stackless/switch_aarch64.hpp>
#endif

STACKLESS_BEGIN
namespace arch {

/// The same as a call: every register that the ABI lets a function keep is kept on the stack.
extern "C" context* stackless_switch(context* from, context* to) noexcept;

inline context* switch_out_of_line(context* from, context* to) noexcept { return stackless_switch(from, to); }

}  // namespace arch
STACKLESS_END
