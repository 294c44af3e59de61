#pragma once

/// Tasklets: functions that give way to one another.
///
///   stackless::tasklet t([](int n) { for (; n > 0; --n) stackless::schedule(); }, 3);
///   stackless::run();
///   assert(!t.alive());
///
/// A tasklet belongs to the thread that made it, and runs there. Handles may go to other threads: there they can be
/// copied and dropped, inserted, killed and thrown to, joined, and asked how the tasklet is, which may be outdated at
/// once. What else would touch another thread's tasklet throws state_error.

#include <any>
#include <concepts>
#include <exception>
#include <functional>
#include <memory>
#include <new>
#include <optional>
#include <string_view>
#include <tuple>
#include <type_traits>
#include <utility>

#include <stackless/detail/scheduler.hpp>
#include <stackless/heap.hpp>
#include <stackless/tasklet_options.hpp>

STACKLESS_BEGIN

class tasklet;
tasklet current();
tasklet main_tasklet();

namespace detail {

/// A callable and its arguments, by value, in the record or the picklable heap.
template <class F, class... Args>
class bound_call {
 public:
  template <class Function, class... Given>
  explicit bound_call(std::in_place_t, Function&& f, Given&&... args)
      : f_(std::forward<Function>(f)), args_(std::forward<Given>(args)...) {}

  /// `r`, which is not alive, will run this.
  template <class... Given>
  static void bind(record* r, Given&&... given) {
    if constexpr (fits_a_record) {
      r->closure = new (r->cargo) bound_call(std::in_place, std::forward<Given>(given)...);
      r->has_cargo = true;
    } else {
      r->closure = heap::make<bound_call>(std::in_place, std::forward<Given>(given)...).release();
    }
    r->body = run_or_drop;
  }

 private:
  static void run_or_drop(void* closure, bool run) {
    auto* const bound = static_cast<bound_call*>(closure);
    if constexpr (fits_a_record) {
      bound_call self(std::move(*bound));
      std::destroy_at(bound);
      if (run) self.call();
    } else {
      const heap::owned<bound_call> self(bound);
      if (run) self->call();
    }
  }

  void call() {
    std::apply([&](Args&... args) { std::invoke(std::move(f_), std::move(args)...); }, args_);
  }

  // A small one waits where values will be on their way once it runs.
  static constexpr bool fits_a_record = sizeof(bound_call) <= sizeof(record::cargo) &&
                                        alignof(bound_call) <= alignof(std::max_align_t) &&
                                        std::is_nothrow_move_constructible_v<bound_call>;

  F f_;
  [[no_unique_address]] std::tuple<Args...> args_;
};

/// A record with one handle, dead until it is bound. Throws error: the options cannot be had.
record* create_anew(const tasklet_options&);
record* create_anew();

/// The same, quicker if one is spare.
inline record* create() {
  scheduler& s = mine();
  record* const r = s.spare;
  if (r == nullptr) [[unlikely]] return create_anew();
  s.spare = r->next;
  r->handles = 1;
  return r;
}
inline record* create(const tasklet_options& options) {
  const bool plain = options.stack == stack::own && options.stack_size == 0 && !options.measure_stack;
  return plain && mine().spare != nullptr ? create() : create_anew(options);
}

/// Gives `r`, which is not alive, a stack to begin on. Throws memory_error.
void settle(record* r);

/// `to`, just made by `from`, begins with copies of its tasklet_locals.
void inherit_locals(const record* from, record* to);

/// Makes `r`, which is bound, alive and paused. Throws memory_error.
inline void set_up(record* r) {
  scheduler& s = mine();
  if (r->stack != nullptr && s.departed == nullptr) [[likely]] {
    --s.kept_slots;  // it has kept its own
  } else {
    settle(r);
  }
  r->started = false;
  r->state = state::paused;
  ++s.population;
  if (s.current->extras != nullptr) [[unlikely]] inherit_locals(s.current, r);
}

/// What is kept of a tasklet under a type: its value of a tasklet_local, or its tempval (key nullptr).
std::any& local_value(record* r, const void* key);
std::any* find_local_value(record* r, const void* key);

/// Nobody in this thread has a value under `key` any more.
void forget_local(const void* key) noexcept;

/// The handles that its own thread counts are gone, and it is not in the ring: perhaps they were the last, perhaps others
/// have more.
void settle_handles(record*) noexcept;

/// A handle is gone in another thread.
void let_go_abroad(record*) noexcept;

// A handle is counted without read-modify-write in the thread that the tasklet belongs to.

inline void hold_on(record* r) noexcept {
  if (r->owner.acquire() == &mine()) [[likely]] {
    ++r->handles;
  } else {
    r->foreign_handles.fetch_add(1, std::memory_order_relaxed);
  }
}

inline void let_go(record* r) noexcept {
  if (r->owner.acquire() != &mine()) [[unlikely]] return let_go_abroad(r);
  // One in the ring will see for itself whether any is left; but who counts abroad relies on this being never negative.
  if (--r->handles <= 0 && (r->handles < 0 || r->state != state::ready)) settle_handles(r);
}

}  // namespace detail

/// When an exception reaches a tasklet: at once, by a switch to it, or when it is its turn. Those of another thread are
/// always reached when it is their turn.
enum class when { now, pending };

/// A handle to a tasklet: counted, cheap to copy. When the last one goes, a tasklet that nobody could wake any more is
/// unwound by TaskletExit, so that its destructors run; one that is scheduled or waits on a channel lives on. An error
/// that leaves it then, and has nowhere else to go, is thrown by the next operation of whoever dropped the handle.
/// Where switching is forbidden it is unwound when it is its turn.
/// A handle that was moved from can only be assigned to and destroyed.
class tasklet {
 public:
  /// Calls `f(args...)` in a tasklet of its own, inserted as the last of the ring. Callable and arguments are copied
  /// or moved into the picklable heap; what `f` returns is dropped. Throws memory_error.
  template <class F, class... Args>
    requires(!std::same_as<std::remove_cvref_t<F>, tasklet> &&
             std::invocable<std::decay_t<F>, std::decay_t<Args>...>)
  explicit tasklet(F&& f, Args&&... args) : tasklet(bound(std::forward<F>(f), std::forward<Args>(args)...)) {
    detail::append(detail::mine(), record());
  }

  /// The same with options, such as {.stack = stackless::stack::sliced}. Throws error: they cannot be had.
  template <class F, class... Args>
    requires std::invocable<std::decay_t<F>, std::decay_t<Args>...>
  tasklet(const tasklet_options& options, F&& f, Args&&... args)
      : tasklet(bound(options, std::forward<F>(f), std::forward<Args>(args)...)) {
    detail::append(detail::mine(), record());
  }

  /// Paused: it runs when somebody inserts it.
  template <class F, class... Args>
    requires(!std::same_as<std::remove_cvref_t<F>, tasklet_options> &&
             std::invocable<std::decay_t<F>, std::decay_t<Args>...>)
  static tasklet bound(F&& f, Args&&... args) {
    return set_up(detail::create(), std::forward<F>(f), std::forward<Args>(args)...);
  }
  template <class F, class... Args>
    requires std::invocable<std::decay_t<F>, std::decay_t<Args>...>
  static tasklet bound(const tasklet_options& options, F&& f, Args&&... args) {
    return set_up(detail::create(options), std::forward<F>(f), std::forward<Args>(args)...);
  }

  /// A tasklet without a function: not alive until it is bound and set up.
  tasklet() : tasklet(default_options()) {}
  explicit tasklet(const tasklet_options& options) : tasklet(detail::create(options)) {}

  /// Gives it a function: without arguments it is not alive before setup(), with arguments it is alive and paused. One
  /// that is alive and paused is unwound first. Throws state_error: current, scheduled, blocked, or refuses to end.
  template <class F, class... Args>
    requires std::invocable<std::decay_t<F>, std::decay_t<Args>...>
  tasklet& bind(F&& f, Args&&... args) {
    unbind();
    bind_call(std::forward<F>(f), std::forward<Args>(args)...);
    if constexpr (sizeof...(Args) != 0) detail::set_up(record());
    return *this;
  }

  /// Takes the function away; one that is alive and paused is unwound first, so that its destructors run.
  /// Throws state_error: current, scheduled, blocked, main.
  tasklet& unbind();

  /// Makes a bound tasklet alive: paused, or with setup() at the end of the ring. Throws state_error: not bound, alive.
  tasklet& arm();
  tasklet& setup();

  tasklet(const tasklet& other) noexcept : handle_(other.handle_) {
    if (handle_ != 0) detail::hold_on(record());
  }
  tasklet(tasklet&& other) noexcept : handle_(std::exchange(other.handle_, 0)) {}
  tasklet& operator=(tasklet other) noexcept {
    std::swap(handle_, other.handle_);
    return *this;
  }
  ~tasklet() {
    if (handle_ != 0) detail::let_go(record());
  }

  /// Into the ring of its thread, as the last; nothing if it is there already. Throws state_error: blocked, dead, its
  /// thread has ended.
  tasklet& insert();

  /// Out of the ring: paused; nothing if it is not there. Throws state_error: current, blocked.
  tasklet& remove();

  /// Runs it now: if it is paused it is inserted as the last first, if it is scheduled it keeps its place. The order
  /// of turns goes on from there; returns when it is the caller's turn. One of another thread is only inserted there.
  /// Throws state_error: blocked, dead.
  void run();

  /// run(), and the caller leaves the ring: it is paused until somebody inserts it.
  void switch_to();

  /// Throws TaskletExit in it: it is unwound, and the caller goes on when it is its turn. One that has not started
  /// never runs, a dead one stays dead, the caller itself throws. Pending, it is only made runnable.
  void kill(when w = when::now);

  /// Throws an exception in it, where it waits. One that has not started ends by it. In the caller itself it is thrown
  /// at once. Throws state_error: dead; error: a null pointer.
  void throw_exception(std::exception_ptr exception, when w = when::now);
  template <class E>
  void raise(E exception) {
    throw_exception(std::make_exception_ptr(std::move(exception)));
  }

  /// Moves it, which is paused or waits on a channel, to the thread that `there` belongs to. Addresses of thread-local
  /// variables in its frames become those of that thread; on x86-64 so does the id of this thread. Throws state_error:
  /// current, scheduled, main, of another thread, that thread has ended.
  void bind_thread(const tasklet& there);

  /// Moves it to the calling thread. Its own must have ended; until then it can be moved only from there.
  void bind_thread();

  /// Its thread has ended: it stays as it is until somebody moves it to another.
  bool orphaned() const noexcept;

  /// Blocks the calling tasklet until this one has ended. Throws as channel<T>::receive does; state_error: itself.
  void join();

  bool alive() const noexcept { return record()->alive(); }
  /// Waits on a channel.
  bool blocked() const noexcept { return record()->blocked(); }
  /// In the ring or in a channel's queue.
  bool scheduled() const noexcept { return record()->state == detail::state::ready || blocked(); }
  /// Alive, and in neither.
  bool paused() const noexcept { return alive() && !scheduled(); }
  bool is_current() const noexcept;
  bool is_main() const noexcept;

  /// Its neighbours: in the ring, which is circular; in a channel's queue, which ends. Nothing if it is in neither.
  std::optional<tasklet> next() const;
  std::optional<tasklet> prev() const;

  /// While set, operations that would block it throw trap_error instead, before anything changes.
  bool block_trap() const noexcept { return record()->block_trap; }
  void block_trap(bool on);

  /// While set, the watchdog leaves it alone. Set back for the current tasklet, an interrupt that is due comes at once.
  /// Returns the setting before.
  bool atomic() const noexcept { return record()->atomic; }
  bool set_atomic(bool on);

  /// For people. Empty unless given.
  std::string_view name() const noexcept;
  void name(std::string_view);

  /// A value left for it: what schedule(x) and schedule_remove(x) return.
  template <class T>
  void tempval(T value) {
    detail::local_value(record(), nullptr) = std::move(value);
  }
  /// Takes it. Throws std::bad_any_cast if there is none of this type.
  template <class T>
  T take_tempval() {
    std::any* value = detail::find_local_value(record(), nullptr);
    if (value == nullptr) throw std::bad_any_cast();
    T taken = std::any_cast<T>(std::move(*value));
    value->reset();
    return taken;
  }

  /// Bytes that its stack has; while it is not alive, that it will have at least. Throws state_error: main, whose stack
  /// is the thread's; of another thread.
  std::size_t stack_size() const;

  /// The most bytes of its stack that it has used, rounded up to pages of 4 KiB; to find out, all of its stack that is
  /// unused is read. Exact, and after its end that of the life that ended, with tasklet_options::measure_stack; words
  /// that were zero at the deep end do not count. Without, an earlier tasklet on the same stack may have left more than
  /// this one has used, but never less is told; after the end 0. One that came back from a file has used what it came
  /// with. Throws as stack_size().
  std::size_t stack_high_water() const;

  /// It could be saved now, as far as its stack goes: it is not the current tasklet, not main, and every frame of its
  /// stack can be found.
  bool restorable() const;

  friend bool operator==(const tasklet&, const tasklet&) = default;

 private:
  friend tasklet current();
  friend tasklet main_tasklet();
  friend struct tasklet_access;

  /// Takes over one handle.
  explicit tasklet(detail::record* r) noexcept : handle_(detail::tagged<detail::handle_tag>(r)) {}

  /// `r`, which is not alive, bound and made alive.
  template <class F, class... Args>
  static tasklet set_up(detail::record* r, F&& f, Args&&... args) {
    tasklet t(r);
    t.bind_call(std::forward<F>(f), std::forward<Args>(args)...);
    detail::set_up(r);
    return t;
  }

  template <class F, class... Args>
  void bind_call(F&& f, Args&&... args) {
    detail::bound_call<std::decay_t<F>, std::decay_t<Args>...>::bind(record(), std::forward<F>(f), std::forward<Args>(args)...);
  }

  detail::record* record() const noexcept { return detail::untagged<detail::handle_tag>(handle_); }

  std::uintptr_t handle_;
};

/// The tasklet that runs.
tasklet current();

/// The flow of control that the thread was born with. A handle to it must not outlive the thread.
tasklet main_tasklet();

STACKLESS_END
