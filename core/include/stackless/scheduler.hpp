#pragma once

/// The scheduler of a thread.
///
///   stackless::tasklet([] { std::puts("one"); stackless::schedule(); std::puts("three"); });
///   stackless::tasklet([] { std::puts("two"); });
///   stackless::run();
///
/// Tasklets that can run wait in a ring, in the order of their turns; the current one is part of it. Each thread has
/// its own ring, and its own main: the flow of control that the thread was born with.

#include <any>
#include <chrono>
#include <cstddef>
#include <exception>
#include <functional>
#include <optional>
#include <utility>
#include <vector>

#include <stackless/detail/scheduler.hpp>
#include <stackless/tasklet.hpp>

STACKLESS_BEGIN

class channel_base;

namespace detail {
void schedule_unusual();
void poll_unusual();
}  // namespace detail

struct run_options {
  /// How long a tasklet may run before it is interrupted; 0: as long as it likes.
  std::chrono::nanoseconds timeout{0};

  /// Nobody is interrupted: run() returns at the first switch after the timeout, and everybody stays scheduled.
  bool soft = false;

  /// The timeout is that of the whole run(), not of each tasklet's turn.
  bool total = false;

  /// Tasklets that wait on a channel keep it as well: it waits for other threads, until all tasklets of this thread
  /// have ended or somebody calls stop().
  bool serve = false;
};

/// Takes the caller out of the ring and runs the others until nobody can run any more. It waits for those who wait for
/// time or descriptors (events.hpp); those who wait on a channel do not keep it. Throws what left a tasklet uncaught; the others stay scheduled. Calls may nest: the innermost
/// returns first.
///
/// With a timeout it returns the tasklet that used it up, paused: insert it to go on where it was. Tasklets are
/// interrupted at poll() and at every operation on channels and the ring. Of nested timeouts the outermost counts.
std::optional<tasklet> run(const run_options& options);
inline std::optional<tasklet> run() {
  detail::scheduler& s = detail::mine();
  detail::record* const me = s.current;
  if (s.unusual() || s.stranded != nullptr || me->next == me) [[unlikely]] return run(run_options{});
  detail::record* const to = me->next;
  me->serves = false;
  me->outer_runner = std::exchange(s.runner, me);
  detail::unlink(me);
  me->state = detail::state::running_others;
  detail::raise_if_woken_to(detail::switch_to(s, me, to));
  return std::nullopt;
}

/// Lets the innermost run() that serves return; if there is none, the next. The other tasklets stay where they are.
void stop();

/// A place where the watchdog may interrupt the caller. Costs a load and a test.
[[gnu::always_inline]] inline void poll() {
  if (detail::mine().heeds(~0u)) [[unlikely]] detail::poll_unusual();
}

/// Gives the others their turn; the caller becomes the last.
[[gnu::always_inline]] inline void schedule() {
  detail::scheduler& s = detail::mine();
  if (s.unusual()) [[unlikely]] return detail::schedule_unusual();
  detail::raise_if_woken_to(detail::switch_to(s, s.current, s.current->next));
}

/// Gives way and leaves the ring: the caller is paused until somebody inserts it. Returns at once for main when nobody
/// else can run.
void schedule_remove();

namespace detail {

/// What is in the caller's tempval after `give_way`; the tempval is as before if that throws.
template <class T, class GiveWay>
T with_tempval(T value, GiveWay give_way) {
  std::any before = std::exchange(local_value(here().current, nullptr), std::any(std::move(value)));
  try {
    give_way();
  } catch (...) {
    local_value(here().current, nullptr) = std::move(before);
    throw;
  }
  return current().take_tempval<T>();
}

}  // namespace detail

/// The same with a value: what somebody has put into the caller's tempval meanwhile, else `value`.
/// Throws std::bad_any_cast if that was of another type.
template <class T>
T schedule(T value) {
  return detail::with_tempval(std::move(value), [] { schedule(); });
}
template <class T>
T schedule_remove(T value) {
  return detail::with_tempval(std::move(value), [] { schedule_remove(); });
}

/// Raises (positive) or lowers (negative) the level at which switching is forbidden: above 0 every operation that would
/// switch throws trap_error and changes nothing. Returns the level before.
int switch_trap(int delta);

/// Called with what leaves a tasklet uncaught, instead of run() throwing it; what the handler throws, run() throws. An
/// empty one takes it away. Returns the one before.
using error_handler = std::function<void(std::exception_ptr)>;
error_handler set_error_handler(error_handler);

/// Called at every switch, before it, with `to` current already. It must not give way. What it throws is reported on
/// stderr and ignored.
using schedule_callback = std::function<void(const tasklet& from, const tasklet& to)>;
schedule_callback set_schedule_callback(schedule_callback);
schedule_callback get_schedule_callback();

/// Called at every operation on a channel, before it takes effect. It must use no channel and not give way. What it
/// throws, the operation throws, and has done nothing.
using channel_callback =
    std::function<void(const channel_base&, const tasklet&, bool sending, bool will_block)>;
channel_callback set_channel_callback(channel_callback);
channel_callback get_channel_callback();

/// The tasklets of this thread that wait on a channel and that no handle leads to. Somebody may still know their
/// channel; if nobody does, it is a cycle. They are reported on stderr when a thread of a debug build ends.
std::vector<tasklet> getuncollectables();

/// Does not let the watchdog interrupt the current tasklet while it lives.
class atomic {
 public:
  atomic() : before_(current().set_atomic(true)) {}
  ~atomic() noexcept(false) { current().set_atomic(before_); }
  atomic(const atomic&) = delete;
  atomic& operator=(const atomic&) = delete;

 private:
  bool before_;
};

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
