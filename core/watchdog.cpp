#include "core/watchdog.hpp"

#include <utility>

#include "core/scheduler.hpp"

STACKLESS_BEGIN
namespace detail {
namespace {

bool is_due(const watchdog& w) {
  return w.runner->state == state::running_others && watchdog::clock::now() >= w.deadline;
}

}  // namespace

void interrupt_if_due(scheduler& s) {
  watchdog& w = *s.watchdog;
  record* me = s.current;
  if (w.options.soft || me->atomic || s.switch_traps > 0 || !is_due(w)) return;
  give_next_turn(s, w.runner);
  unlink(me);
  me->state = state::paused;
  ++me->handles;
  w.interrupted = me;
  raise_if_woken_to(give_way(s, me, w.runner));
}

record* watch_switch(scheduler& s, record* to) noexcept {
  watchdog& w = *s.watchdog;
  const bool entered = std::exchange(w.entered, true);
  if (w.options.soft && entered && to != w.runner && is_due(w)) {
    stop_waiting(w.runner);
    insert_before(to, w.runner);
    return w.runner;
  }
  if (!w.options.total && !w.options.soft) w.deadline = watchdog::clock::now() + w.options.timeout;
  return to;
}

}  // namespace detail
STACKLESS_END
