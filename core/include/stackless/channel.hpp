#pragma once

/// Channels: where two tasklets meet and one hands a value to the other.
///
///   stackless::channel<int> ch;
///   stackless::tasklet([&] { ch.send(7); });
///   int seven = ch.receive();
///
/// Whoever comes first waits. Values are moved, never copied; the destructor of one that was moved from must not give
/// way. Any thread may use a channel; it costs least while only one does. Values are moved while the channel is held:
/// their move constructors and destructors must not use channels.

#include <sys/single_threaded.h>

#include <cstddef>
#include <cstdint>
#include <deque>
#include <exception>
#include <iterator>
#include <memory>
#include <memory_resource>
#include <new>
#include <optional>
#include <type_traits>
#include <utility>

#include <stackless/detail/scheduler.hpp>
#include <stackless/error.hpp>
#include <stackless/heap.hpp>
#include <stackless/tasklet.hpp>

STACKLESS_BEGIN

class channel_base;

namespace detail {

template <class T, class F>
class receive_case;
template <class T, class F>
class send_case;

/// While it lives, no other thread uses the channel. That costs two stores if no other thread ever has, else a lock.
class holding {
 public:
  /// Throws error: the kernel does not let threads share channels.
  holding(const channel_base&, const scheduler&);
  ~holding() { release(); }
  holding(const holding&) = delete;
  holding& operator=(const holding&) = delete;

  void release() noexcept;

 private:
  bool mark(const channel_base&, const scheduler&) noexcept;
  void hold_unused_or_shared(const channel_base&, const scheduler&);
  void unlock() noexcept;

  const channel_base* marked_ = nullptr;
  void* lock_ = nullptr;
};

}  // namespace detail

/// The queue of a channel, whatever its values are. At any time those who wait are all senders or all receivers.
class channel_base {
 public:
  constexpr channel_base() = default;
  channel_base(const channel_base&) = delete;
  channel_base& operator=(const channel_base&) = delete;

  /// How many wait: senders count positive, receivers negative.
  int balance() const;

  /// The one that has waited longest.
  std::optional<tasklet> queue() const;

  /// Who runs first when two have met: the receiver (-1, the default), whoever was running (0), the sender (1). The
  /// other becomes the last of the ring. A partner in another thread only becomes the last of its ring.
  int preference() const { return preference_; }
  void preference(int p);

  /// Overrides the preference: the partner becomes the last of the ring, and the caller gives way to the next.
  bool schedule_all() const { return is(gives_way); }
  void schedule_all(bool on);

  /// Those who wait, and values in the buffer, can still be met; what would block throws closed_error.
  /// Iterations that wait end.
  void close();
  void open();
  bool closing() const { return is(closes); }
  /// Closing, nobody waits, and the buffer is empty.
  bool closed() const;

 protected:
  /// Tasklets that still wait are woken with an error.
  ~channel_base();

  // What the inlined paths do not know. With a buffer `buffers` is set, and `holds` while there is a value in it;
  // `selects` since a select() has waited.
  static constexpr std::uint8_t prefers = 1, gives_way = 2, closes = 4, buffers = 8, holds = 16, selects = 32;
  bool is(std::uint8_t bit) const { return (special_ & bit) != 0; }
  void set_special(std::uint8_t bit, bool on) {
    const int before = count();
    special_ = static_cast<std::uint8_t>(on ? special_ | bit : special_ & ~bit);
    gauge_ = special_ == 0 ? before : before + out_of_line;
  }

  /// Tells the channel callback. Throws what it throws.
  void notify(detail::scheduler&, bool sending, bool will_block) const;

  /// An exception takes the place of a value.
  void send_failure(std::exception_ptr);

  // All that follows is for those who hold the channel.

  int count() const { return special_ == 0 ? gauge_.get() : gauge_ - out_of_line; }

  detail::record* front() const { return detail::untagged<detail::queue_tag>(head_); }

  detail::record* pop_front() {
    detail::record* r = front();
    head_ = detail::tagged<detail::queue_tag>(r->next);
    if (r->next != nullptr) {
      r->next->previous = nullptr;
    } else {
      tail_ = 0;
    }
    return r;
  }

  void push_back(detail::record* r) {
    r->next = nullptr;
    r->previous = detail::untagged<detail::queue_tag>(tail_);
    if (r->previous != nullptr) {
      r->previous->next = r;
    } else {
      head_ = detail::tagged<detail::queue_tag>(r);
    }
    tail_ = detail::tagged<detail::queue_tag>(r);
    if (r->blocked_on != this) r->blocked_on = this;
  }

  void count_one(detail::state as, int change) { gauge_ = gauge_ + (as == detail::state::sending ? change : -change); }

  /// Throws trap_error, closed_error or deadlock_error if the caller cannot wait here.
  void refuse_to_block(detail::scheduler&) const;

  /// The caller waits, which is not refused, and lets go of the channel. Returns itself, woken, perhaps to a failure.
  detail::record* wait(detail::holding&, detail::scheduler&, detail::state as);

  /// Who runs after an exchange of values.
  enum class turn { caller, partner, others };
  turn turn_after_send(const detail::scheduler& s) const {
    return is_abroad(s) ? turn::caller : schedule_all() ? turn::others : preference_ < 0 ? turn::partner : turn::caller;
  }
  turn turn_after_receive(const detail::scheduler& s) const {
    return is_abroad(s) ? turn::caller : schedule_all() ? turn::others : preference_ > 0 ? turn::partner : turn::caller;
  }
  /// The one at the front belongs to another thread, or comes from one.
  bool is_abroad(const detail::scheduler& s) const { return is_abroad(s, front()); }
  static bool is_abroad(const detail::scheduler& s, const detail::record* r) {
    return r->owner.acquire() != &s || r->arriving;
  }

  /// The one at the front is the caller's to meet. False, and it has left the queue, if it stood in for a select() that
  /// goes on elsewhere.
  bool claim_front() noexcept;
  /// It is not met after all: its select() begins anew.
  void disclaim_front(detail::scheduler&) noexcept;
  /// Those who stood in for a select() that goes on elsewhere leave the queue.
  void drop_claimed() noexcept;

  /// Somebody waits, and is the caller's to meet. Throws trap_error if that would switch where it is forbidden.
  bool meets_receiver(const detail::scheduler&);
  bool meets_sender(const detail::scheduler&);

  /// Whoever is claimed is met, unless an exception prevents it.
  class meeting {
   public:
    meeting(channel_base& c, detail::scheduler& s) : c_(c), s_(s) {}
    ~meeting() {
      if (!held_) c_.disclaim_front(s_);
    }
    void is_held() { held_ = true; }
    meeting(const meeting&) = delete;
    meeting& operator=(const meeting&) = delete;

   private:
    channel_base& c_;
    detail::scheduler& s_;
    bool held_ = false;
  };

  /// Throws trap_error if that would switch where it is forbidden.
  static void refuse_trapped(const detail::scheduler&, turn);

  /// The partner, who has left the queue, goes on; lets go of the channel. Returns the caller, woken, perhaps to a
  /// failure.
  static detail::record* proceed(detail::holding&, detail::scheduler&, detail::record* partner, turn);

  /// `r`, which has left the queue, becomes the last of its ring.
  static void make_ready(detail::scheduler&, detail::record* r) noexcept;

  /// The exception that the sender at the front sends; it goes on.
  std::exception_ptr receive_failure(detail::holding&, detail::scheduler&);

  /// While it lives, closing the channel wakes the current tasklet with end_of_iteration if it waits here.
  struct end_of_iteration {};
  class iterating {
   public:
    iterating() { detail::here().current->iterates = true; }
    ~iterating() { detail::here().current->iterates = false; }
    iterating(const iterating&) = delete;
    iterating& operator=(const iterating&) = delete;
  };

  // The ends of the queue, tagged: a channel that is saved takes those who wait on it along.
  std::uintptr_t head_ = 0;
  std::uintptr_t tail_ = 0;
  // The balance, and so much more if the channel is special: the inlined paths see a sender then, and leave it alone.
  static constexpr std::int32_t out_of_line = 1 << 30;
  detail::relaxed<std::int32_t> gauge_ = 0;

  detail::relaxed<std::int8_t> preference_ = -1;
  detail::relaxed<std::uint8_t> special_ = 0;

  /// The thread that uses it, by the address of its scheduler; nobody yet, or several.
  static constexpr std::uintptr_t nobody = 0, several = 1;
  mutable std::atomic<std::uintptr_t> used_by_ = nobody;
  bool used_by(const detail::scheduler& s) const {
    return used_by_.load(std::memory_order_relaxed) == reinterpret_cast<std::uintptr_t>(&s);
  }

  // Its only user is busy with the channel if `mark_` is `in_hand` or what the gauge is: the inlined paths begin by marking
  // what they are about to change, and end by changing it. See core/sharing.hpp.
  static constexpr std::int32_t unmarked = INT32_MIN, in_hand = INT32_MIN + 1;
  mutable detail::relaxed<std::int32_t> mark_ = unmarked;

  /// What holding is, to the inlined paths: they enter with the gauge as it is, if that is allowed, and leave with what
  /// it is then. A process with one thread needs no mark: a second thread cannot appear in between.
  bool enter(const detail::scheduler& s, std::int32_t gauge) {
    if (__libc_single_threaded) [[likely]] return true;
    mark_ = gauge;
    std::atomic_signal_fence(std::memory_order_seq_cst);
    if (used_by(s)) [[likely]] return true;
    mark_.publish(unmarked);
    return false;
  }
  void leave(std::int32_t gauge) { gauge_.publish(gauge); }

  /// Takes `r` out of the queue.
  void forget(detail::record* r) noexcept;

 private:
  friend class detail::holding;
  friend struct detail::selection;
  friend struct channel_access;
};

inline bool detail::holding::mark(const channel_base& c, const scheduler& s) noexcept {
  c.mark_ = channel_base::in_hand;
  std::atomic_signal_fence(std::memory_order_seq_cst);
  if (!c.used_by(s)) [[unlikely]] {
    c.mark_.publish(channel_base::unmarked);
    return false;
  }
  marked_ = &c;
  return true;
}

inline detail::holding::holding(const channel_base& c, const scheduler& s) {
  if (!c.used_by(s) || !mark(c, s)) [[unlikely]] hold_unused_or_shared(c, s);
}

inline void detail::holding::release() noexcept {
  if (marked_ != nullptr) {
    std::exchange(marked_, nullptr)->mark_.publish(channel_base::unmarked);
  } else if (lock_ != nullptr) {
    unlock();
  }
}

namespace detail {

/// A value on its way lies in the record of the tasklet that waits, or in a block of its own: never on a stack, which
/// may be elsewhere by then.
template <class T>
struct cargo {
  static constexpr bool fits = sizeof(T) <= sizeof(record::cargo) && alignof(T) <= 16 &&
                               std::is_nothrow_move_constructible_v<T>;

  static void put(record* r, T&& value) noexcept(fits) {
    if constexpr (fits) {
      new (r->cargo) T(std::move(value));
    } else {
      new (r->cargo) void*(heap::make<T>(std::move(value)).release());
    }
    r->has_cargo = true;
  }

  /// What the caller was given while it waited.
  static T take(record* self) {
    const unloading done{self};
    return T(std::move(*at(self)));
  }

  /// What a partner that waits has to give; if the move throws, it still has it.
  static T take_from(record* partner) {
    const unloading_unless_thrown done{partner};
    return T(std::move(*at(partner)));
  }

  /// A value that nobody wants any more, if there is one.
  static void drop(record* r) noexcept {
    if (r->has_cargo) unload(r);
  }

  /// Throws what `self` was woken with. A value that it has is destroyed on the way, and `self` is free of it by then:
  /// its destructor may use channels itself.
  [[noreturn]] static void raise_without(record* self) {
    if (!self->has_cargo) raise(self);
    self->has_cargo = false;
    if constexpr (fits) {
      [[maybe_unused]] const T dropped(std::move(*at(self)));
      std::destroy_at(at(self));
      raise(self);
    } else {
      const heap::owned<T> dropped(at(self));
      raise(self);
    }
  }

 private:
  static void unload(record* r) {
    T* value = at(r);
    r->has_cargo = false;
    std::destroy_at(value);
    if constexpr (!fits) heap::deallocate(value);
  }

  struct unloading {
    record* r;
    ~unloading() { unload(r); }
  };

  struct unloading_unless_thrown {
    record* r;
    int exceptions = std::uncaught_exceptions();
    ~unloading_unless_thrown() {
      if (std::uncaught_exceptions() == exceptions) unload(r);
    }
  };

  static T* at(record* r) {
    if constexpr (fits) {
      return std::launder(reinterpret_cast<T*>(r->cargo));
    } else {
      return static_cast<T*>(*std::launder(reinterpret_cast<void**>(r->cargo)));
    }
  }
};

}  // namespace detail

/// A channel of values of type T, an object type that can be moved. It is its own identity: it cannot be moved. A
/// global one is found again by a tasklet that comes back in another process.
template <class T>
class channel : public channel_base {
  static_assert(std::is_object_v<T> && std::is_move_constructible_v<T>);

 public:
  constexpr channel() = default;

  /// With a buffer, in the picklable heap: a sender blocks only when so many values wait in it.
  explicit channel(std::size_t capacity) : buffer_(std::make_unique<buffer>(capacity)) { set_special(buffers, true); }

  /// Hands `value` to the receiver that has waited longest, or waits for one.
  /// Throws deadlock_error if nobody else could run then, closed_error, trap_error, what the channel callback throws,
  /// and has done nothing; and whatever the caller is woken with.
  void send(T value);

  /// Takes the value of the sender that has waited longest, or waits for one. Throws as send does, and what a sender
  /// sends as an exception.
  T receive();

  /// The same if it need not wait. `value` is moved from only if it was sent.
  bool try_send(T&& value) { return send_if(detail::begin(), std::move(value), false); }
  std::optional<T> try_receive();

  /// Like send; the receiver throws the exception. Throws error: a null pointer.
  template <class E>
  void send_exception(E exception) {
    send_failure(std::make_exception_ptr(std::move(exception)));
  }
  void send_throw(std::exception_ptr exception) { send_failure(std::move(exception)); }

  /// Sends each element, and returns how many there were.
  template <class Range>
  std::size_t send_sequence(Range&& values) {
    std::size_t count = 0;
    for (auto&& value : values) {
      send(std::forward<decltype(value)>(value));
      ++count;
    }
    return count;
  }

  /// Receives one value after another: `for (auto& value : channel)`. Ends when the channel is closing and nothing is
  /// left to receive.
  class iterator {
   public:
    using value_type = T;
    using difference_type = std::ptrdiff_t;

    iterator() = default;
    explicit iterator(channel& c) : channel_(&c) { ++*this; }
    T& operator*() const { return *value_; }
    iterator& operator++() {
      value_.reset();
      try {
        const iterating until_closed;
        if (!channel_->has_ended()) value_.emplace(channel_->receive());
      } catch (const end_of_iteration&) {
      } catch (const closed_error&) {
        if (!channel_->has_ended()) throw;  // a sender's
      }
      return *this;
    }
    void operator++(int) { ++*this; }
    bool operator==(std::default_sentinel_t) const { return !value_; }

   private:
    channel* channel_ = nullptr;
    mutable std::optional<T> value_;
  };
  iterator begin() { return iterator(*this); }
  std::default_sentinel_t end() { return {}; }

 private:
  template <class, class>
  friend class detail::receive_case;
  template <class, class>
  friend class detail::send_case;
  using cargo = detail::cargo<T>;

  struct buffer {
    explicit buffer(std::size_t n) : capacity(n) {}
    const std::size_t capacity;
    std::pmr::deque<T> values{heap::memory_resource()};
  };

  bool has_value() const { return count() > 0 || is(holds); }
  /// In the buffer, for the next value: nobody overtakes a sender that waits.
  bool has_room() const { return count() == 0 && buffer_ != nullptr && buffer_->values.size() < buffer_->capacity; }
  bool would_block_sender() const { return count() >= 0 && (!has_room() || closing()); }

  /// For those who do not hold the channel:
  bool has_ended() const {
    const detail::holding held(*this, detail::here());
    return closing() && !has_value();
  }

  [[gnu::noinline]] void send_otherwise(T&& value);
  [[gnu::noinline]] T receive_otherwise();

  /// False, and nothing done, if it would block and must not.
  bool send_if(detail::scheduler&, T&& value, bool may_block);
  /// Tells the channel callback, if the operation is going to be done.
  void announce(detail::scheduler&, bool sending, bool may_block);
  void send_to_receiver(detail::holding&, detail::scheduler&, T&& value);
  T receive_waiting(detail::holding&, detail::scheduler&);
  T receive_from_sender(detail::holding&, detail::scheduler&);
  T receive_from_buffer(detail::scheduler&);

  static detail::record* woken(detail::record* self) {
    if (self->wake != detail::wake::normally) [[unlikely]] cargo::raise_without(self);
    return self;
  }

  std::unique_ptr<buffer> buffer_;
};

template <class T>
[[gnu::always_inline]] inline void channel<T>::send(T value) {
  detail::scheduler& s = detail::mine();
  const std::int32_t gauge = gauge_;
  // What has to be packed into a box may throw; a receiver that has left the queue must get its value.
  if (!cargo::fits || s.unusual() || gauge >= 0 || !used_by(s) || !enter(s, gauge)) [[unlikely]] {
    return send_otherwise(std::move(value));
  }
  detail::record* receiver = front();
  pop_front();
  leave(gauge + 1);
  cargo::put(receiver, std::move(value));
  detail::insert_next(s, receiver);
  detail::raise_if_woken_to(detail::switch_to(s, s.current, receiver));
}

template <class T>
[[gnu::always_inline]] inline T channel<T>::receive() {
  detail::scheduler& s = detail::mine();
  const std::int32_t gauge = gauge_;
  if (s.unusual() || gauge > 0 || !used_by(s) || s.current->next == s.current || !enter(s, gauge)) [[unlikely]] {
    return receive_otherwise();
  }
  detail::record* me = s.current;
  detail::record* to = me->next;
  detail::unlink(me);
  me->state = detail::state::receiving;
  push_back(me);
  leave(gauge - 1);
  return cargo::take(woken(detail::switch_to(s, me, to)));
}

template <class T>
void channel<T>::send_otherwise(T&& value) {
  send_if(detail::begin(), std::move(value), true);
}

template <class T>
bool channel<T>::send_if(detail::scheduler& s, T&& value, bool may_block) {
  announce(s, true, may_block);
  detail::holding held(*this, s);
  if (meets_receiver(s)) {
    send_to_receiver(held, s, std::move(value));
    return true;
  }
  if (!would_block_sender()) {
    buffer_->values.push_back(std::move(value));
    set_special(holds, true);
    return true;
  }
  if (!may_block) return false;
  refuse_to_block(s);
  cargo::put(s.current, std::move(value));
  woken(wait(held, s, detail::state::sending));
  return true;
}

template <class T>
void channel<T>::send_to_receiver(detail::holding& held, detail::scheduler& s, T&& value) {
  const turn next = turn_after_send(s);
  detail::record* receiver = front();
  meeting with_receiver(*this, s);
  cargo::put(receiver, std::move(value));
  with_receiver.is_held();
  pop_front();
  count_one(detail::state::receiving, -1);
  detail::raise_if_woken_to(proceed(held, s, receiver, next));
}

template <class T>
T channel<T>::receive_otherwise() {
  detail::scheduler& s = detail::begin();
  announce(s, false, true);
  detail::holding held(*this, s);
  if (is(holds)) return receive_from_buffer(s);
  if (meets_sender(s)) return receive_from_sender(held, s);
  return receive_waiting(held, s);
}

template <class T>
std::optional<T> channel<T>::try_receive() {
  detail::scheduler& s = detail::begin();
  announce(s, false, false);
  detail::holding held(*this, s);
  if (is(holds)) return receive_from_buffer(s);
  if (meets_sender(s)) return receive_from_sender(held, s);
  return std::nullopt;
}

template <class T>
void channel<T>::announce(detail::scheduler& s, bool sending, bool may_block) {
  if (!s.heeds(detail::attention::observed)) return;
  detail::holding held(*this, s);
  const bool blocks = sending ? would_block_sender() : !has_value();
  held.release();
  if (may_block || !blocks) notify(s, sending, blocks);
}

template <class T>
T channel<T>::receive_waiting(detail::holding& held, detail::scheduler& s) {
  refuse_to_block(s);
  return cargo::take(woken(wait(held, s, detail::state::receiving)));
}

template <class T>
T channel<T>::receive_from_sender(detail::holding& held, detail::scheduler& s) {
  const turn next = turn_after_receive(s);
  detail::record* sender = front();
  if (sender->sends_failure) std::rethrow_exception(receive_failure(held, s));
  meeting with_sender(*this, s);
  T value = cargo::take_from(sender);
  with_sender.is_held();
  pop_front();
  count_one(detail::state::sending, -1);
  detail::raise_if_woken_to(proceed(held, s, sender, next));
  return value;
}

template <class T>
T channel<T>::receive_from_buffer(detail::scheduler& s) {
  // There is room now for what the first sender waits with; it goes on, and nobody gives way.
  if (count() > 0 && !front()->sends_failure && claim_front()) {
    detail::record* sender = front();
    meeting with_sender(*this, s);
    buffer_->values.push_back(cargo::take_from(sender));
    with_sender.is_held();
    pop_front();
    count_one(detail::state::sending, -1);
    make_ready(s, sender);
  }
  T value = std::move(buffer_->values.front());
  buffer_->values.pop_front();
  set_special(holds, !buffer_->values.empty());
  return value;
}

namespace detail {
struct nothing {};
}  // namespace detail

/// A channel that hands over nothing but the turn.
template <>
class channel<void> : public channel<detail::nothing> {
  using signals = channel<detail::nothing>;

 public:
  constexpr channel() = default;
  explicit channel(std::size_t capacity) : signals(capacity) {}

  void send() { signals::send({}); }
  void receive() { signals::receive(); }
  bool try_send() { return signals::try_send({}); }
  bool try_receive() { return signals::try_receive().has_value(); }
};

STACKLESS_END
