#pragma once

/// Channels: where two tasklets meet and one hands a value to the other.
///
///   stackless::channel<int> ch;
///   stackless::tasklet([&] { ch.send(7); });
///   int seven = ch.receive();
///
/// Whoever comes first waits. Values are moved, never copied; the destructor of one that was moved from must not give
/// way. A channel belongs to the thread whose tasklets use it.

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
#include <stackless/heap.hpp>
#include <stackless/tasklet.hpp>

STACKLESS_BEGIN

/// The queue of a channel, whatever its values are. At any time those who wait are all senders or all receivers.
class channel_base {
 public:
  constexpr channel_base() = default;
  channel_base(const channel_base&) = delete;
  channel_base& operator=(const channel_base&) = delete;

  /// How many wait: senders count positive, receivers negative.
  int balance() const { return special_ == 0 ? gauge_ : gauge_ - out_of_line; }

  /// The one that has waited longest.
  std::optional<tasklet> queue() const;

  /// Who runs first when two have met: the receiver (-1, the default), whoever was running (0), the sender (1). The
  /// other becomes the last of the ring.
  int preference() const { return preference_; }
  void preference(int p) {
    preference_ = static_cast<std::int8_t>(p < 0 ? -1 : p > 0 ? 1 : 0);
    set_special(prefers, preference_ != -1);
  }

  /// Overrides the preference: the partner becomes the last of the ring, and the caller gives way to the next.
  bool schedule_all() const { return (special_ & gives_way) != 0; }
  void schedule_all(bool on) { set_special(gives_way, on); }

  /// Those who wait, and values in the buffer, can still be met; what would block throws closed_error.
  /// Iterations that wait end.
  void close();
  void open() { set_special(closes, false); }
  bool closing() const { return (special_ & closes) != 0; }
  /// Closing, nobody waits, and the buffer is empty.
  bool closed() const { return closing() && balance() == 0 && (special_ & holds) == 0; }

 protected:
  /// Tasklets that still wait are woken with an error.
  ~channel_base();

  // What the inlined paths do not know. With a buffer `buffers` is set, and `holds` while there is a value in it.
  static constexpr std::uint8_t prefers = 1, gives_way = 2, closes = 4, buffers = 8, holds = 16;
  void set_special(std::uint8_t bit, bool on) {
    const int before = balance();
    special_ = static_cast<std::uint8_t>(on ? special_ | bit : special_ & ~bit);
    gauge_ = special_ == 0 ? before : before + out_of_line;
  }

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
    r->blocked_on = this;
  }

  /// Tells the channel callback. Throws what it throws.
  void notify(detail::scheduler&, bool sending, bool will_block) const;

  /// Throws trap_error, closed_error or deadlock_error if the caller cannot wait here.
  void refuse_to_block(const detail::scheduler&) const;

  /// The caller waits, which is not refused. Returns itself, woken, perhaps to a failure.
  detail::record* wait(detail::scheduler&, detail::state as);

  /// Who runs after an exchange of values.
  enum class turn { caller, partner, others };
  turn turn_after_send() const { return schedule_all() ? turn::others : preference_ < 0 ? turn::partner : turn::caller; }
  turn turn_after_receive() const {
    return schedule_all() ? turn::others : preference_ > 0 ? turn::partner : turn::caller;
  }

  /// Throws trap_error if that would switch where it is forbidden.
  static void refuse_trapped(const detail::scheduler&, turn);

  /// Returns the caller, woken, perhaps to a failure.
  static detail::record* proceed(detail::scheduler&, detail::record* partner, turn);

  /// An exception takes the place of a value.
  void send_failure(std::exception_ptr);

  /// The exception that the sender at the front sends, which goes on; null if it sends a value.
  std::exception_ptr receive_failure(detail::scheduler&);

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
  std::int32_t gauge_ = 0;
  std::int8_t preference_ = -1;
  std::uint8_t special_ = 0;

 private:
  friend void detail::stop_waiting(detail::record*) noexcept;
  friend struct channel_access;

  /// Takes `r` out of the queue.
  void forget(detail::record* r) noexcept;
};

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
      std::unique_ptr<void, freed> box(heap::allocate(sizeof(T), alignof(T)));
      new (box.get()) T(std::move(value));
      new (r->cargo) void*(box.release());
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
      const std::unique_ptr<T, boxed> dropped(at(self));
      raise(self);
    }
  }

 private:
  struct freed {
    void operator()(void* box) const { heap::deallocate(box); }
  };

  struct boxed {
    void operator()(T* value) const {
      std::destroy_at(value);
      heap::deallocate(value);
    }
  };

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
  bool try_send(T&& value);
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
      if (channel_->closing() && !channel_->has_value()) return *this;
      try {
        const iterating until_closed;
        value_.emplace(channel_->receive());
      } catch (const end_of_iteration&) {
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
  using cargo = detail::cargo<T>;

  struct buffer {
    explicit buffer(std::size_t n) : capacity(n) {}
    const std::size_t capacity;
    std::pmr::deque<T> values{heap::memory_resource()};
  };

  bool has_value() const { return balance() > 0 || (special_ & holds) != 0; }
  /// In the buffer, for the next value: nobody overtakes a sender that waits.
  bool has_room() const {
    return balance() == 0 && buffer_ != nullptr && buffer_->values.size() < buffer_->capacity;
  }

  [[gnu::noinline]] void send_otherwise(T&& value);
  [[gnu::noinline]] T receive_otherwise();
  void send_begun(detail::scheduler&, T&& value);
  T receive_begun(detail::scheduler&);
  void send_to_receiver(detail::scheduler&, T&& value);
  T receive_waiting(detail::scheduler&);
  T receive_from_sender(detail::scheduler&);
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
  if (s.unusual() || gauge_ >= 0) [[unlikely]] return send_otherwise(std::move(value));
  detail::record* receiver = front();
  cargo::put(receiver, std::move(value));
  pop_front();
  ++gauge_;
  detail::insert_next(s, receiver);
  detail::raise_if_woken_to(detail::switch_to(s, s.current, receiver));
}

template <class T>
[[gnu::always_inline]] inline T channel<T>::receive() {
  detail::scheduler& s = detail::mine();
  if (s.unusual() || gauge_ > 0 || s.current->next == s.current) [[unlikely]] return receive_otherwise();
  detail::record* me = s.current;
  detail::record* to = me->next;
  detail::unlink(me);
  me->state = detail::state::receiving;
  push_back(me);
  --gauge_;
  return cargo::take(woken(detail::switch_to(s, me, to)));
}

template <class T>
void channel<T>::send_otherwise(T&& value) {
  send_begun(detail::begin(), std::move(value));
}

template <class T>
void channel<T>::send_begun(detail::scheduler& s, T&& value) {
  notify(s, true, balance() >= 0 && !has_room());
  if (balance() < 0) return send_to_receiver(s, std::move(value));
  if (has_room() && !closing()) {
    buffer_->values.push_back(std::move(value));
    set_special(holds, true);
    return;
  }
  refuse_to_block(s);
  cargo::put(s.current, std::move(value));
  woken(wait(s, detail::state::sending));
}

template <class T>
void channel<T>::send_to_receiver(detail::scheduler& s, T&& value) {
  refuse_trapped(s, turn_after_send());
  detail::record* receiver = front();
  cargo::put(receiver, std::move(value));
  pop_front();
  ++gauge_;
  detail::raise_if_woken_to(proceed(s, receiver, turn_after_send()));
}

template <class T>
T channel<T>::receive_otherwise() {
  return receive_begun(detail::begin());
}

template <class T>
T channel<T>::receive_begun(detail::scheduler& s) {
  notify(s, false, !has_value());
  if ((special_ & holds) != 0) return receive_from_buffer(s);
  return balance() > 0 ? receive_from_sender(s) : receive_waiting(s);
}

template <class T>
T channel<T>::receive_waiting(detail::scheduler& s) {
  refuse_to_block(s);
  return cargo::take(woken(wait(s, detail::state::receiving)));
}

template <class T>
T channel<T>::receive_from_sender(detail::scheduler& s) {
  refuse_trapped(s, turn_after_receive());
  if (std::exception_ptr failure = receive_failure(s)) std::rethrow_exception(std::move(failure));
  detail::record* sender = front();
  T value = cargo::take_from(sender);
  pop_front();
  --gauge_;
  detail::raise_if_woken_to(proceed(s, sender, turn_after_receive()));
  return value;
}

template <class T>
T channel<T>::receive_from_buffer(detail::scheduler& s) {
  // There is room now for what the first sender waits with; it goes on, and nobody gives way.
  if (balance() > 0 && !front()->sends_failure) {
    detail::record* sender = front();
    buffer_->values.push_back(cargo::take_from(sender));
    pop_front();
    --gauge_;
    detail::append(s, sender);
  }
  T value = std::move(buffer_->values.front());
  buffer_->values.pop_front();
  set_special(holds, !buffer_->values.empty());
  return value;
}

template <class T>
bool channel<T>::try_send(T&& value) {
  detail::scheduler& s = detail::begin();
  if (balance() >= 0 && (!has_room() || closing())) return false;
  send_begun(s, std::move(value));
  return true;
}

template <class T>
std::optional<T> channel<T>::try_receive() {
  detail::scheduler& s = detail::begin();
  if (!has_value()) return std::nullopt;
  return receive_begun(s);
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
