#include <stackless/tasklet.hpp>

#include <sched.h>

#include <memory>

#include <stackless/channel.hpp>
#include <stackless/error.hpp>

#include "arch/unwind.hpp"
#include "core/access.hpp"
#include "core/ended.hpp"
#include "core/extras.hpp"
#include "core/hooks.hpp"
#include "core/inbox.hpp"
#include "core/migration.hpp"
#include "core/options.hpp"
#include "core/record.hpp"
#include "core/scheduler.hpp"
#include "core/slice.hpp"
#include "core/slot.hpp"

STACKLESS_BEGIN
namespace detail {
namespace {

/// What `r` was bound to is destroyed, and never called.
void drop_closure(record* r) noexcept {
  r->has_cargo = false;
  if (void* closure = std::exchange(r->closure, nullptr)) r->body(closure, false);
}

/// Ends a tasklet that has not started.
void discard(record* r) noexcept {
  if (r->state == state::ready) unlink(r);
  r->state = state::dead;
  end_life(*r->owner, r);
  drop_failure(r);
  release_stack(r);
  drop_closure(r);
}

/// The last handle is gone.
void forget(record* r) noexcept;

// A tasklet that nobody can reach may catch TaskletExit and pause again: so often it is asked, then it is left alone.
constexpr int attempts_to_unwind = 10;

}  // namespace

record* unwind(scheduler& s, record* r) {
  stop_waiting(r);
  drop_failure(r);
  r->wake = wake::to_exit;
  return jump(s, r);
}

namespace {

record* create_with(const stack_plan& plan) {
  scheduler& s = here();
  reclaim_departed(s);
  heap::owned<extras> its;
  if (plan.measured) {
    its = heap::make<extras>();
    its->measured = true;
  }
  record* r = records::allocate();
  r->owner = &s;
  r->state = state::dead;
  r->handles = 1;
  r->size_class = plan.size_class;
  r->sliced = plan.sliced;
  r->extras = its.release();
  return r;
}

}  // namespace

record* create_anew(const tasklet_options& options) { return create_with(plan_for(options)); }

record* create_anew() { return create_with(default_plan()); }

void settle(record* r) {
  scheduler& s = *r->owner;
  reclaim_departed(s);
  give_up_slot(s, r);
  if (r->sliced) {
    slices::settle(s, r);
  } else {
    r->stack = slots::acquire(r->size_class);
    r->stack->user = r;
  }
  r->started = false;
  prepare_stack(r);
}

void prepare_stack(record* r) {
  const slot& s = *r->stack;
  if (!r->sliced && r->extras != nullptr && r->extras->measured) slots::clear(s);
  if (!r->started && r->sliced) {
    slices::prepare(r);
  } else if (!r->started) {
    r->context = arch::fresh_context(reinterpret_cast<void*>(s.top()), tasklet_entry);
  }
  arch::adopt_stack(r->sanitized,
                    [&] { return std::span(reinterpret_cast<std::byte*>(s.floor()), s.top() - s.floor()); });
}

void release_stack(record* r) noexcept {
  arch::drop_stack(r->sanitized);
  if (r->sliced) {
    slices::leave(r);
  } else {
    slots::release(std::exchange(r->stack, nullptr));
  }
}

void settle_handles(record* r) noexcept {
  r->handles += r->foreign_handles.exchange(0, std::memory_order_acq_rel);
  if (r->handles == 0) forget(r);
}

void let_go_abroad(record* r) noexcept {
  // Above one, there are more abroad.
  for (std::int32_t abroad = r->foreign_handles.load(std::memory_order_relaxed); abroad > 1;) {
    if (r->foreign_handles.compare_exchange_weak(abroad, abroad - 1, std::memory_order_acq_rel)) return;
  }
  // Else only its thread can tell, and until then this one counts.
  for (;;) {
    scheduler* const owner = r->owner.acquire();
    if (owner == &mine()) return let_go(r);
    if (post(owner, letter_to([r](scheduler&) noexcept { let_go(r); }))) return;
    if (let_go_orphaned(r)) return;
    sched_yield();  // its thread is about to leave it
  }
}

namespace {

void forget(record* r) noexcept {
  if (r == &r->owner->main) return;  // it is there as long as the thread
  if (r->state == state::paused) {
    ++r->handles;
    scheduler& s = here();
    if (!r->started) {
      discard(r);
    } else if (s.switch_traps > 0) {
      drop_failure(r);
      r->wake = wake::to_exit;
      append(s, r);
    } else {
      for (int i = 0; i < attempts_to_unwind && r->state == state::paused; ++i) unwind(s, r);
      // What the caller was woken with meanwhile cannot be thrown here.
      if (s.current->wake != wake::normally) attend(s, attention::unsettled, true);
    }
    --r->handles;
  }
  if (r->state == state::dead && r->all_handles() == 0) bury(here(), r);
}

}  // namespace

void destroy(record* r) noexcept {
  drop_closure(r);
  if (r->extras != nullptr) drop_extras(r);
  records::release(r);
}

}  // namespace detail

bool detail::is_abroad(const record* r) noexcept {
  scheduler& s = here();
  if (r->owner.acquire() != &s) return true;
  if (r->arriving) collect(s);
  return false;
}

void detail::refuse_abroad(const record* r) {
  if (!is_abroad(r)) return;
  if (r->owner == &nobody) throw state_error("the tasklet's thread has ended: bind_thread() moves it to this one");
  throw state_error("the tasklet belongs to another thread: do this there, or let that thread move it with bind_thread()");
}

namespace {

using detail::is_abroad;
using detail::refuse_abroad;

/// Does `f(record, scheduler)` in the thread of the tasklet. False if that has ended.
template <class F>
bool try_there(const tasklet& t, F f) {
  return detail::post(tasklet_access::record(t)->owner.acquire(), detail::letter_to([t, f](detail::scheduler& s) noexcept {
                        detail::record* r = tasklet_access::record(t);
                        if (r->owner == &s) {
                          f(r, s);
                        } else {
                          try_there(t, f);  // it has moved on meanwhile
                        }
                      }));
}

template <class F>
void do_there(const tasklet& t, F f) {
  if (!try_there(t, f)) throw state_error("the tasklet's thread has ended: bind_thread() moves it to this one");
}

/// Somebody joins it there, and says so here. If his thread ends before, he closes the channel.
void join_abroad(const tasklet& t) {
  const auto ended = std::make_shared<channel<void>>(1);
  do_there(t, [t, teller = std::shared_ptr<channel<void>>(ended.get(), [ended](channel<void>* c) { c->close(); })](
                  detail::record*, detail::scheduler&) {
    tasklet({.stack = stack::own}, [t, teller] {
      try {
        tasklet(t).join();
        teller->send();
      } catch (const error&) {
      }
    });
  });
  if (ended->begin() == ended->end()) {
    throw state_error("the tasklet's thread has ended, and the tasklet has not: bind_thread() moves it to this one");
  }
}

/// Wakes `r`, which is alive, when it is its turn.
void wake_pending(detail::scheduler& s, detail::record* r, std::exception_ptr failure) noexcept {
  detail::stop_waiting(r);
  if (failure) {
    detail::fail(r, std::move(failure));
  } else {
    detail::drop_failure(r);
    r->wake = detail::wake::to_exit;
  }
  if (r->state == detail::state::paused) detail::append(s, r);
  if (r == s.current) detail::attend(s, detail::attention::unsettled, true);
}

void refuse_unless_runnable(const detail::record* r) {
  if (r->blocked()) {
    throw state_error("You cannot run a blocked tasklet: send to or receive from its channel, or kill it");
  }
  if (!r->alive()) {
    throw state_error("You cannot run an unbound(dead) tasklet: bind it to a function and set it up, or start a new one");
  }
}

/// Alive, but in nobody's ring or queue: as far as binding goes it can be replaced.
void refuse_unless_replaceable(const detail::record* r) {
  refuse_abroad(r);
  if (r == detail::here().current) throw state_error("can't (re)bind the current tasklet: let it end first");
  if (r == &r->owner->main) throw state_error("can't unbind the main tasklet: it is the thread's");
  if (r->state == detail::state::ready || r->blocked()) {
    throw state_error("tasklet is scheduled: remove or kill it before it is bound to something else");
  }
}

void refuse_foreign_stack(const detail::record* r) {
  refuse_abroad(r);
  if (r == &r->owner->main) throw state_error("the main tasklet's stack is the thread's: ask the thread for it");
}

bool is_exit(const std::exception_ptr& exception) {
  try {
    std::rethrow_exception(exception);
  } catch (const TaskletExit&) {
    return true;
  } catch (...) {
    return false;
  }
}

std::optional<tasklet> neighbour(const detail::record* r, detail::record* detail::record::*link) {
  detail::record* beside = r->*link;
  if (beside != nullptr && beside == detail::here().idler) beside = beside->*link;  // is nobody's business
  if (beside == nullptr) return std::nullopt;
  return tasklet_access::handle_to(beside);
}

}  // namespace

tasklet& tasklet::unbind() {
  detail::record* r = record();
  refuse_unless_replaceable(r);
  kill();
  if (r->alive()) throw state_error("the tasklet refused to end: it caught TaskletExit; let it end before it is bound");
  detail::drop_closure(r);
  return *this;
}

tasklet& tasklet::arm() {
  detail::record* r = record();
  refuse_abroad(r);
  if (r->alive()) throw state_error("tasklet is alive: it can be set up again when it has ended");
  if (r->closure == nullptr) throw state_error("the tasklet was not bound to a function: bind it first");
  detail::set_up(r);
  return *this;
}

tasklet& tasklet::setup() { return arm().insert(); }

tasklet& tasklet::insert() {
  detail::record* r = record();
  refuse_unless_runnable(r);
  if (is_abroad(r)) {
    do_there(*this, [](detail::record* its, detail::scheduler& s) {
      if (its->state == detail::state::paused) detail::append(s, its);
    });
    return *this;
  }
  detail::stop_waiting(r);
  if (r->state == detail::state::paused) detail::append(detail::here(), r);
  return *this;
}

tasklet& tasklet::remove() {
  detail::record* r = record();
  refuse_abroad(r);
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
  if (is_abroad(r)) {
    insert();
    return;
  }
  refuse_unless_runnable(r);
  detail::refuse_trapped_switch(s);
  detail::stop_waiting(r);
  detail::raise_if_woken_to(detail::jump(s, r));
}

void tasklet::switch_to() {
  detail::scheduler& s = detail::begin();
  detail::record* me = s.current;
  detail::record* r = record();
  if (r == me) return;
  refuse_abroad(r);
  refuse_unless_runnable(r);
  detail::refuse_trapped_switch(s);
  detail::refuse_to_be_lost(s);
  detail::stop_waiting(r);
  if (r->state == detail::state::paused) detail::append(s, r);
  detail::unlink(me);
  me->state = detail::state::paused;
  detail::raise_if_woken_to(detail::give_way(s, me, r));
}

void tasklet::kill(when w) {
  detail::scheduler& s = w == when::now ? detail::begin() : detail::here();
  detail::record* r = record();
  if (r == s.current) throw TaskletExit{};
  if (!r->alive()) return;
  if (is_abroad(r)) {
    do_there(*this, [](detail::record* its, detail::scheduler& there) {
      if (its->alive()) wake_pending(there, its, nullptr);
    });
  } else if (w == when::pending) {
    wake_pending(s, r, nullptr);
  } else if (!r->started) {
    detail::discard(r);
  } else {
    detail::refuse_trapped_switch(s);
    detail::raise_if_woken_to(detail::unwind(s, r));
  }
}

void tasklet::throw_exception(std::exception_ptr exception, when w) {
  detail::refuse_nothing(exception);
  detail::scheduler& s = w == when::now ? detail::begin() : detail::here();
  detail::record* r = record();
  if (!r->alive()) {
    if (is_exit(exception)) return;
    throw state_error("You cannot throw to a dead tasklet: look at alive() first");
  }
  if (r == s.current) std::rethrow_exception(std::move(exception));
  if (is_abroad(r)) {
    do_there(*this, [exception](detail::record* its, detail::scheduler& there) {
      if (its->alive()) wake_pending(there, its, exception);
    });
  } else if (w == when::pending) {
    wake_pending(s, r, std::move(exception));
  } else {
    detail::refuse_trapped_switch(s);
    detail::stop_waiting(r);
    detail::fail(r, std::move(exception));
    detail::raise_if_woken_to(detail::jump(s, r));
  }
}

void tasklet::bind_thread(const tasklet& there) {
  detail::scheduler& s = detail::begin();
  detail::record* r = record();
  detail::scheduler* to = there.record()->owner;
  if (to == &s) return bind_thread();
  refuse_abroad(r);
  if (r == &s.main) throw state_error("the main tasklet is the thread's: it cannot be moved to another");
  if (r == s.current || r->state == detail::state::ready || r->state == detail::state::running_others) {
    throw state_error("a tasklet that can run cannot be moved: remove it from the ring first");
  }
  if (detail::awaits_event(r)) {
    throw state_error("a tasklet that waits for time or a descriptor cannot be moved: its thread's event loop knows it");
  }
  if (!detail::hand_over(s, r, to)) {
    throw state_error("the tasklet cannot be moved: the thread it is to go to has ended, somebody is waking it, or others "
                      "share its sliced stack's addresses");
  }
}

void tasklet::bind_thread() {
  detail::scheduler& s = detail::begin();
  detail::record* r = record();
  if (!detail::is_abroad(r) || (r->owner == &detail::nobody && detail::adopt(s, r))) return;
  throw state_error("the tasklet belongs to another thread: only that can move it, with bind_thread(main_tasklet()) of "
                    "this one; or it shares a sliced stack's addresses with tasklets that have been bound to another");
}

bool tasklet::orphaned() const noexcept { return record()->owner == &detail::nobody; }

void tasklet::join() {
  detail::scheduler& s = detail::begin();
  detail::record* r = record();
  if (r == s.current) throw state_error("a tasklet cannot join itself: it would never end");
  if (!r->alive()) return;
  const tasklet kept(*this);  // as long as somebody waits for it
  if (is_abroad(r)) return join_abroad(kept);
  detail::extras_of(r).ended.wait_for_opening(s);
}

bool tasklet::is_current() const noexcept { return record() == detail::here().current; }

bool tasklet::is_main() const noexcept { return record() == &record()->owner->main; }

std::optional<tasklet> tasklet::next() const {
  refuse_abroad(record());
  return scheduled() ? neighbour(record(), &detail::record::next) : std::nullopt;
}

std::optional<tasklet> tasklet::prev() const {
  refuse_abroad(record());
  return scheduled() ? neighbour(record(), &detail::record::previous) : std::nullopt;
}

bool tasklet::set_atomic(bool on) {
  refuse_abroad(record());
  const bool before = record()->atomic;
  record()->atomic = on;
  // While an exception unwinds the caller nothing can be thrown; the next poll will do.
  if (before && !on && is_current() && std::uncaught_exceptions() == 0) detail::begin();
  return before;
}

std::string_view tasklet::name() const noexcept {
  const detail::extras* e = record()->extras;
  return e != nullptr ? std::string_view(e->name) : std::string_view();
}

void tasklet::block_trap(bool on) {
  refuse_abroad(record());
  detail::set_block_trap(record(), on);
}

void tasklet::name(std::string_view name) {
  refuse_abroad(record());
  detail::extras_of(record()).name = name;
}

std::size_t tasklet::stack_size() const {
  const detail::record* r = record();
  refuse_foreign_stack(r);
  return r->alive() ? r->stack->room() : slots::least_room(r->size_class);
}

std::size_t tasklet::stack_high_water() const {
  const detail::record* r = record();
  refuse_foreign_stack(r);
  if (r->alive()) return r->stack->high_water();
  return r->extras != nullptr ? r->extras->high_water : 0;
}

bool tasklet::restorable() const {
  const detail::record* r = record();
  if (is_abroad(r)) return false;
  if (!r->alive() || !r->started) return true;
  if (r->stack == nullptr || r == detail::here().current) return false;
  return slices::in_place(
      record(), [](detail::record* its, void*) { return arch::walk(its->context, [](void*, arch::frame) {}, nullptr); },
      nullptr);
}

tasklet current() { return tasklet_access::handle_to(detail::here().current); }

tasklet main_tasklet() { return tasklet_access::handle_to(&detail::here().main); }

STACKLESS_END
