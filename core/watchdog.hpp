#pragma once

/// The watchdog of a run() with a timeout. It looks at the clock at each poll and switch while there is one; the
/// attention word keeps that off the path of programs that have none.

#include <chrono>

#include <stackless/scheduler.hpp>

STACKLESS_BEGIN
namespace detail {

struct watchdog {
  using clock = std::chrono::steady_clock;

  watchdog(const run_options& o, record* r) : options(o), runner(r) {}

  const run_options options;
  record* const runner;           ///< whose run() has the timeout
  bool entered = false;           ///< run() has given way: somebody has had a turn
  record* interrupted = nullptr;  ///< the tasklet that used it up, with a handle
  clock::time_point deadline = clock::now() + options.timeout;
};

/// Interrupts the current tasklet if its time is up; comes back when it goes on. Throws what it is woken with then.
void interrupt_if_due(scheduler&);

/// Somebody gives way to `to`, which is in the ring: who runs? A soft watchdog whose time is up goes first.
record* watch_switch(scheduler&, record* to) noexcept;

}  // namespace detail
STACKLESS_END
