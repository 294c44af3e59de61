#include <stackless/tasklet.hpp>

#include <stackless/error.hpp>

#include "arch/unwind.hpp"
#include "core/record.hpp"
#include "core/scheduler.hpp"
#include "core/slot.hpp"

STACKLESS_BEGIN
namespace detail {
namespace {

/// Ends a tasklet that has not started: its callable is destroyed, and never called.
void discard(record* r) noexcept {
  if (r->state == state::ready) unlink(r);
  r->state = state::dead;
  slots::release(std::exchange(r->stack, nullptr));
  arch::drop_stack(r->sanitized);
  r->body(r->closure, false);
}

/// Wakes `r`, which is alive, started and not the caller, to TaskletExit. Returns the caller, woken.
record* unwind(scheduler& s, record* r) {
  stop_waiting(r);
  drop_failure(r);
  r->wake = wake::to_exit;
  return jump(s, r);
}

// A tasklet that nobody can reach may catch TaskletExit and pause again: so often it is asked, then it is left alone.
constexpr int attempts_to_unwind = 10;

}  // namespace

record* create(body run, void* closure) {
  scheduler& s = here();
  reclaim_departed(s);
  slot* stack = nullptr;
  record* r = nullptr;
  try {
    stack = slots::acquire();
    r = records::allocate();
  } catch (...) {
    if (stack != nullptr) slots::release(stack);
    run(closure, false);
    throw;
  }
  stack->user = r;
  r->stack = stack;
  r->owner = &s;
  r->body = run;
  r->closure = closure;
  r->handles = 1;
  prepare_stack(r);
  return r;
}

void prepare_stack(record* r) {
  const slot& s = *r->stack;
  if (!r->started) r->context = arch::fresh_context(reinterpret_cast<void*>(s.top()), tasklet_entry);
  arch::adopt_stack(r->sanitized, reinterpret_cast<void*>(s.floor()), s.top() - s.floor());
}

void forgotten(record* r) noexcept {
  if (r == &r->owner->main) return;  // it is there as long as the thread
  if (r->state == state::paused) {
    ++r->handles;
    if (!r->started) {
      discard(r);
    } else {
      scheduler& s = here();
      for (int i = 0; i < attempts_to_unwind && r->state == state::paused; ++i) unwind(s, r);
      // What the caller was woken with meanwhile cannot be thrown here.
      if (s.current->wake != wake::normally) s.attention |= attention::unsettled;
    }
    --r->handles;
  }
  // A dead one that still has its stack ended last; it goes when the stack is reclaimed.
  if (r->state == state::dead && r->stack == nullptr && r->handles == 0) records::release(r);
}

}  // namespace detail

namespace {

void refuse_unless_runnable(const detail::record* r) {
  if (r->blocked()) {
    throw state_error("You cannot run a blocked tasklet: send to or receive from its channel, or kill it");
  }
  if (!r->alive()) throw state_error("You cannot run an unbound(dead) tasklet: start a new one");
}

}  // namespace

tasklet& tasklet::insert() {
  detail::record* r = record();
  refuse_unless_runnable(r);
  detail::stop_waiting(r);
  if (r->state == detail::state::paused) detail::append(detail::here(), r);
  return *this;
}

tasklet& tasklet::remove() {
  detail::record* r = record();
  if (r == detail::here().current) {
    throw state_error("The current tasklet cannot be removed: it can leave the ring with schedule_remove()");
  }
  if (r->blocked()) throw state_error("You cannot remove a blocked tasklet: it is in no ring");
  if (r->state == detail::state::ready) {
    detail::unlink(r);
    r->state = detail::state::paused;
  }
  return *this;
}

void tasklet::run() {
  detail::scheduler& s = detail::begin();
  detail::record* r = record();
  if (r == s.current) return;
  refuse_unless_runnable(r);
  detail::stop_waiting(r);
  detail::raise_if_woken_to(detail::jump(s, r));
}

void tasklet::kill() {
  detail::scheduler& s = detail::begin();
  detail::record* r = record();
  if (r == s.current) throw TaskletExit{};
  if (!r->alive()) return;
  if (!r->started) return detail::discard(r);
  detail::raise_if_woken_to(detail::unwind(s, r));
}

bool tasklet::restorable() const {
  const detail::record* r = record();
  if (!r->alive() || !r->started) return true;
  if (r->stack == nullptr || r == detail::here().current) return false;
  return arch::walk(r->context, [](void*, arch::frame) {}, nullptr);
}

tasklet current() {
  detail::record* r = detail::here().current;
  ++r->handles;
  return tasklet(r);
}

tasklet main_tasklet() {
  detail::record* r = &detail::here().main;
  ++r->handles;
  return tasklet(r);
}

STACKLESS_END
