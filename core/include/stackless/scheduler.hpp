#pragma once

/// The scheduler of a thread.
///
///   stackless::tasklet([] { std::puts("one"); stackless::schedule(); std::puts("three"); });
///   stackless::tasklet([] { std::puts("two"); });
///   stackless::run();
///
/// Tasklets that can run wait in a ring, in the order of their turns; the current one is part of it. Each thread has
/// its own ring, and its own main: the flow of control that the thread was born with.

#include <cstddef>
#include <utility>

#include <stackless/detail/scheduler.hpp>

STACKLESS_BEGIN

namespace detail {
void schedule_unusual();
}

/// Takes the caller out of the ring and runs the others until nobody can run any more; tasklets that wait on a channel
/// do not keep it. Throws what left a tasklet uncaught; the others stay scheduled. Calls may nest: the innermost
/// returns first.
void run();

/// Gives the others their turn; the caller becomes the last.
[[gnu::always_inline]] inline void schedule() {
  detail::scheduler& s = detail::mine();
  if (s.unusual()) [[unlikely]] return detail::schedule_unusual();
  detail::raise_if_woken_to(detail::switch_to(s, s.current, s.current->next));
}

/// Gives way and leaves the ring: the caller is paused until somebody inserts it. Returns at once for main when nobody
/// else can run.
void schedule_remove();

/// How many can run, the current one included. Counts them.
std::size_t runcount();

/// Calls `f` in a frame of its own. For functions that must not have a switch inlined, such as those with a target
/// attribute that adds registers to what their file is compiled for:
///
///   [[gnu::target("avx512f")]] void f() { ...; stackless::out_of_line([] { stackless::schedule(); }); ... }
template <class F>
[[gnu::noinline]] decltype(auto) out_of_line(F&& f) {
  return std::forward<F>(f)();
}

STACKLESS_END
