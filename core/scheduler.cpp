#include "core/scheduler.hpp"

#include <cxxabi.h>

#include <cstdio>
#include <exception>
#include <memory>
#include <new>
#include <utility>

#include <stackless/channel.hpp>
#include <stackless/error.hpp>
#include <stackless/scheduler.hpp>

#include "core/access.hpp"
#include "core/ended.hpp"
#include "core/extras.hpp"
#include "core/hooks.hpp"
#include "core/idle.hpp"
#include "core/inbox.hpp"
#include "core/migration.hpp"
#include "core/overflow.hpp"
#include "core/record.hpp"
#include "core/selection.hpp"
#include "core/slice.hpp"
#include "core/slot.hpp"
#include "core/watchdog.hpp"

STACKLESS_BEGIN
namespace detail {

constinit thread_local scheduler this_scheduler;

/// The innermost caller of run() watches no longer, and has the next turn.
static record* wake_runner(scheduler& s) noexcept {
  record* r = s.runner;
  give_next_turn(s, r);
  return r;
}

namespace {

/// Debug builds say what a thread leaves behind that nobody could end.
void report_uncollectables() {
#ifndef NDEBUG
  for (const tasklet& t : getuncollectables()) {
    const std::string_view name = t.name();
    std::fprintf(stderr, "stackless: tasklet '%.*s' waits on a channel, and nobody has a handle to it\n",
                 static_cast<int>(name.size()), name.data());
  }
#endif
}

/// Who is told of an error that left a tasklet; it is in the ring afterwards.
record* bearer_of_errors(scheduler& s) noexcept {
  if (s.runner != nullptr) return wake_runner(s);
  give_next_turn(s, &s.main);
  return &s.main;
}

/// What has to be done before a switch to `to`, or to whom it is led instead.
record* announce_switch(scheduler& s, record* me, record* to) noexcept {
  if (s.heeds(attention::watched)) to = watch_switch(s, to);
  if (s.heeds(attention::observed)) observe_switch(s, me, to);
  return to;
}

/// What `me` switches to in order to give way to `to`.
arch::context* way_to(scheduler& s, record* me, record* to) noexcept {
  return s.heeds(attention::strict) ? slices::leave_for(s, me, to) : &to->context;
}

/// Lets the thread end: its tasklets are left for others.
struct farewell {
  // While some are unwound others run, and get mail. Those who refuse to end are left alone at last.
  static constexpr int most_rounds = 100;

  ~farewell() {
    scheduler& s = mine();
    reclaim_departed(s);
    if (s.idler != nullptr) unwind(s, s.idler);
    report_uncollectables();
    int rounds = 0;
    do {
      collect(s);
    } while ((unwind_forgotten(s) && ++rounds != most_rounds) || !close_inbox(s));
    leave_tasklets(s);
    if (s.main.extras != nullptr) drop_extras(&s.main);
    delete std::exchange(s.hooks, nullptr);
  }
};

}  // namespace

void be_born(scheduler& s) {
  watch_for_overflows();
  open_inbox(s);
  s.main.owner = &s;
  s.main.next = s.main.previous = &s.main;
  s.main.state = state::ready;
  s.main.started = true;
  s.main.handles = 1;
  s.main.sanitized = arch::thread_stack();
  s.current = &s.main;
  s.exceptions = reinterpret_cast<exceptions_in_flight*>(abi::__cxa_get_globals());
  keep_slots_for(s, default_plan());
  attend(s, attention::unborn, false);
  thread_local const farewell at_end_of_thread;
}

void end_life(scheduler& s, record* r) noexcept {
  --s.population;
  if (r->block_trap) set_block_trap(r, false);
  r->atomic = false;
  if (r->extras != nullptr) end_extras(s, r);
  if (r->sliced && r->started) slices::end(r);
}

namespace {

/// Ends the running tasklet. What it stands on is reclaimed later, by somebody who stands elsewhere. Returns who runs then.
[[gnu::noinline]] record* finish(scheduler& s, record* me) noexcept {
  std::exception_ptr failure;
  if (std::exchange(me->wake, wake::normally) == wake::with_failure) failure = take_failure(me);
  if (failure) failure = handle_error(s, std::move(failure));
  end_life(s, me);
  record* to = nullptr;
  if (failure) {
    to = bearer_of_errors(s);
    fail(to, std::move(failure));
  } else {
    to = successor(s, me);
    if (to == nullptr) to = revive_main(s);
  }
  to = announce_switch(s, me, to);
  unlink(me);
  drop_failure(me);
  me->state.publish(state::dead);
  reclaim_departed(s);
  depart(s, me);
  return to;
}

/// The same if nothing else has to be done for it, and without giving up its slot: it may live again there.
bool ends_simply(const scheduler& s, const record* me) {
  return !s.unusual() && me->wake == wake::normally && (me->next != me || s.runner != nullptr) && may_keep_slot(s, me);
}
inline record* finish_simply(scheduler& s, record* me) noexcept {
  record* const to = successor(s, me);
  unlink(me);
  end_life(s, me);
  me->state.publish(state::dead);
  me->context = arch::fresh_context(reinterpret_cast<void*>(me->stack->top()), tasklet_entry);
  ++s.kept_slots;
  if (me->all_handles() == 0) spare(s, me);
  return to;
}

/// The exception that is being handled has left `me`.
[[gnu::noinline]] void note_failure(record* me) noexcept {
  std::exception_ptr failure = std::current_exception();
  if (!failure) failure = std::make_exception_ptr(error("an exception that is not of C++ left a tasklet: catch it there"));
  fail(me, std::move(failure));
}

/// pthread_exit or a cancellation has unwound the running tasklet, and ends the thread: what is left of that runs as
/// main, whose frames the C library skips.
void end_with_thread(record* me) noexcept {
  scheduler& s = *me->owner;
  end_life(s, me);
  give_next_turn(s, &s.main);
  unlink(me);
  me->state.publish(state::dead);
  reclaim_departed(s);
  depart(s, me);
  s.current = &s.main;
  arch::forget_frames(s.main.sanitized);
}

}  // namespace

scheduler& begin() {
  scheduler& s = here();
  if (s.heeds(attention::mail)) [[unlikely]] collect(s);
  if (s.heeds(attention::unsettled)) [[unlikely]] {
    attend(s, attention::unsettled, false);
    raise_if_woken_to(s.current);
  }
  if (s.heeds(attention::watched)) [[unlikely]] {
    interrupt_if_due(s);
    return here();  // it may have gone on elsewhere
  }
  return s;
}

// Every parked tasklet has its frame, so what is rare has frames of its own. (A forced unwinding has no object that the
// reference in its handler could be bound to. And ThreadSanitizer is told of the switch before the return.)
__attribute__((no_sanitize("null", "thread"))) arch::context* tasklet_entry(arch::context* self) {
  arch::crossing::first();
  record* const me = record_of(self);
  try {
    me->started = true;
    me->has_cargo = false;
    me->body(std::exchange(me->closure, nullptr), me->wake == wake::normally);
    raise_if_woken_to(me);  // before it began, or last where nothing could be thrown
  } catch (const TaskletExit&) {
    drop_failure(me);
  } catch (const abi::__forced_unwind&) {
    end_with_thread(me);
    throw;
  } catch (...) {
    note_failure(me);
  }
  scheduler& s = mine();
  record* const to = ends_simply(s, me) ? finish_simply(s, me) : finish(s, me);
  s.current = to;
  arch::crossing::last(to->sanitized);
  return &to->context;
}

record* give_way(scheduler& s, record* me, record* to) {
  to = announce_switch(s, me, to);
  me->exceptions = std::exchange(*s.exceptions, {});
  s.current = to;
  arch::crossing crossing(to->sanitized);
  record* self = record_of(arch::switch_out_of_line(&me->context, way_to(s, me, to)));
  crossing.arrived();
  *mine().exceptions = std::exchange(self->exceptions, {});
  return self;
}

void raise(record* self) {
  if (std::exchange(self->wake, wake::normally) == wake::to_exit) throw TaskletExit{};
  std::rethrow_exception(take_failure(self));
}

static_assert(sizeof(std::exception_ptr) == sizeof(record::failure));

void put_failure(record* r, std::exception_ptr failure) noexcept {
  new (&r->failure) std::exception_ptr(std::move(failure));
}

std::exception_ptr take_failure(record* r) noexcept {
  auto* stored = std::launder(reinterpret_cast<std::exception_ptr*>(&r->failure));
  std::exception_ptr failure = std::move(*stored);
  std::destroy_at(stored);
  r->failure = nullptr;
  return failure;
}

void refuse_nothing(const std::exception_ptr& failure) {
  if (failure == nullptr) throw error("the exception_ptr is null: there is no exception in it to be thrown");
}

void drop_failure(record* r) noexcept {
  if (std::exchange(r->wake, wake::normally) == wake::with_failure) take_failure(r);
}

void fail(record* r, std::exception_ptr failure) noexcept {
  drop_failure(r);
  put_failure(r, std::move(failure));
  r->wake = wake::with_failure;
}

record* successor(scheduler& s, record* me) noexcept {
  if (me->next != me) return me->next;
  return s.runner != nullptr ? wake_runner(s) : nullptr;
}

void stop_waiting(record* r) noexcept {
  if (r->state == state::running_others) {
    scheduler& s = *r->owner;
    record* inner = nullptr;
    record** link = &s.runner;
    for (; *link != r; link = &inner->outer_runner) inner = *link;
    *link = std::exchange(r->outer_runner, nullptr);
    if (inner != nullptr || s.stranded == r) s.stranded = inner;
  } else if (r->state == state::choosing) {
    if (!r->choice->give_up()) collect(*r->owner);  // another thread has woken it
    return;
  } else if (!r->blocked()) {
    return;
  } else if (!channel_access::take_out(r, r->blocked_on)) {
    return collect(*r->owner);
  }
  r->state = state::paused;
}

void give_next_turn(scheduler& s, record* r) noexcept {
  stop_waiting(r);
  if (r->state == state::paused) insert_next(s, r);
}

record* jump(scheduler& s, record* to) {
  if (to->state == state::paused) append(s, to);
  return give_way(s, s.current, to);
}

void refuse_to_be_lost(const scheduler& s) {
  if (s.current->all_handles() == 0 && s.current != &s.main) throw TaskletExit{};
}

record* revive_main(scheduler& s) {
  collect(s);
  if (record* woken = successor(s, s.current)) return woken;
  record* main = &s.main;
  if (main->blocked() && others_may_wake(s)) {
    keep_idler(s);
    return s.idler;
  }
  const state was = main->state;
  stop_waiting(main);
  if (main->state == state::ready) return main;  // another thread was quicker
  insert_next(s, main);
  if (was == state::sending) {
    fail(main, std::make_exception_ptr(deadlock_error(
                          "the main tasklet is sending without a receiver available: every other tasklet has ended "
                          "or waits; keep one that receives")));
  } else if (was == state::receiving) {
    fail(main, std::make_exception_ptr(deadlock_error(
                          "the main tasklet is receiving without a sender available: every other tasklet has ended "
                          "or waits; keep one that sends")));
  }
  return main;
}

void poll_unusual() { begin(); }

void schedule_unusual() {
  scheduler& s = begin();
  if (s.current->next == s.current) return;
  refuse_trapped_switch(s);
  raise_if_woken_to(give_way(s, s.current, s.current->next));
}

}  // namespace detail

std::optional<tasklet> run(const run_options& options) {
  detail::scheduler& s = detail::begin();
  detail::record* me = s.current;
  if (options.serve && std::exchange(s.stopped, false)) return std::nullopt;
  const bool serves = options.serve && s.population > 0;
  if (me->next == me && s.stranded == nullptr && !serves) return std::nullopt;
  detail::refuse_trapped_switch(s);
  if (serves) detail::keep_idler(s);
  heap::owned<detail::watchdog> watchdog;  // others look at it while this stack may be away
  if (options.timeout > options.timeout.zero() && s.watchdog == nullptr) {
    watchdog = heap::make<detail::watchdog>(options, me);
    s.watchdog = watchdog.get();
    detail::attend(s, detail::attention::watched, true);
  }
  // Calls that were left inside of one that was woken before them stay inside of the next.
  detail::record*& inner = s.stranded != nullptr ? std::exchange(s.stranded, nullptr)->outer_runner : s.runner;
  me->outer_runner = std::exchange(inner, me);
  me->serves = options.serve;
  if (options.serve) ++s.serving;
  detail::record* to = detail::successor(s, me);
  detail::unlink(me);
  me->state = detail::state::running_others;
  detail::record* self = detail::give_way(s, me, to);
  if (watchdog) {
    self->owner->watchdog = nullptr;
    detail::attend(*self->owner, detail::attention::watched, false);
  }
  if (options.serve) --self->owner->serving;
  detail::raise_if_woken_to(self);
  if (!watchdog || watchdog->interrupted == nullptr) return std::nullopt;
  return tasklet_access::adopt(watchdog->interrupted);
}

void schedule_remove() {
  detail::scheduler& s = detail::begin();
  detail::record* me = s.current;
  detail::refuse_to_be_lost(s);
  if (me->next != me || s.runner != nullptr) detail::refuse_trapped_switch(s);
  detail::record* to = detail::successor(s, me);
  if (to == nullptr) {
    if (me == &s.main) return;  // nobody is left to wake it
    detail::refuse_trapped_switch(s);
    to = detail::revive_main(s);
  }
  detail::unlink(me);
  me->state = detail::state::paused;
  detail::raise_if_woken_to(detail::give_way(s, me, to));
}

std::vector<tasklet> getuncollectables() {
  std::vector<tasklet> found;
  records::for_each_of(detail::here(), [&](detail::record* r) {
    const bool waits = r->blocked() && !detail::stands_in(r) && !detail::awaits_event(r);
    if (waits && r->all_handles() == 0) found.push_back(tasklet_access::handle_to(r));
  });
  return found;
}

void stop() {
  detail::scheduler& s = detail::here();
  detail::record* r = s.runner;
  while (r != nullptr && !r->serves) r = r->outer_runner;
  if (r == nullptr) {
    s.stopped = true;
  } else {
    detail::give_next_turn(s, r);
  }
}

std::size_t runcount() {
  const detail::scheduler& s = detail::here();
  const detail::record* me = s.current;
  std::size_t count = 1;
  for (const detail::record* r = me->next; r != me; r = r->next) count += r != s.idler;
  return count;
}

STACKLESS_END
