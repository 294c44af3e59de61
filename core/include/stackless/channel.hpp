#pragma once

/// Channels: where two tasklets meet and one hands a value to the other.
///
///   stackless::channel<int> ch;
///   stackless::tasklet([&] { ch.send(7); });
///   int seven = ch.receive();
///
/// Whoever comes first waits. Values are moved, never copied; the destructor of one that was moved from must not give
/// way. A channel belongs to the thread whose tasklets use it.

#include <cstdint>
#include <exception>
#include <memory>
#include <new>
#include <type_traits>
#include <utility>

#include <stackless/detail/scheduler.hpp>
#include <stackless/heap.hpp>

STACKLESS_BEGIN

/// The queue of a channel, whatever its values are. At any time those who wait are all senders or all receivers.
class channel_base {
 public:
  constexpr channel_base() = default;
  channel_base(const channel_base&) = delete;
  channel_base& operator=(const channel_base&) = delete;

  /// How many wait: senders count positive, receivers negative.
  int balance() const { return balance_; }

  /// Who runs first when two have met: the receiver (-1, the default), whoever was running (0), the sender (1). The
  /// other becomes the last of the ring.
  int preference() const { return preference_; }
  void preference(int p) { preference_ = static_cast<std::int8_t>(p < 0 ? -1 : p > 0 ? 1 : 0); }

 protected:
  /// Tasklets that still wait are woken with an error.
  ~channel_base();

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

  /// Throws deadlock_error if nobody could run while the caller waits.
  static void refuse_deadlock(const detail::scheduler&);

  /// The caller waits, which is not refused. Returns itself, woken, perhaps to a failure.
  detail::record* wait(detail::scheduler&, detail::state as);

  /// After an exchange of values: who runs now? Returns the caller, woken, perhaps to a failure.
  static detail::record* proceed(detail::scheduler&, detail::record* partner, bool partner_first);

  // The ends of the queue, tagged: a channel that is saved takes those who wait on it along.
  std::uintptr_t head_ = 0;
  std::uintptr_t tail_ = 0;
  std::int32_t balance_ = 0;
  std::int8_t preference_ = -1;

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

  /// Hands `value` to the receiver that has waited longest, or waits for one.
  /// Throws deadlock_error if nobody else could run then, and whatever the caller is woken with.
  void send(T value);

  /// Takes the value of the sender that has waited longest, or waits for one. Throws as send does.
  T receive();

 private:
  using cargo = detail::cargo<T>;

  [[gnu::noinline]] void send_otherwise(T&& value);
  [[gnu::noinline]] T receive_otherwise();
  T receive_waiting(detail::scheduler&);
  T receive_from_sender(detail::scheduler&);

  static detail::record* woken(detail::record* self) {
    if (self->wake != detail::wake::normally) [[unlikely]] cargo::raise_without(self);
    return self;
  }
};

template <class T>
[[gnu::always_inline]] inline void channel<T>::send(T value) {
  detail::scheduler& s = detail::mine();
  if (s.unusual() || balance_ >= 0 || preference_ != -1) [[unlikely]] return send_otherwise(std::move(value));
  detail::record* receiver = front();
  cargo::put(receiver, std::move(value));
  pop_front();
  ++balance_;
  detail::insert_next(s, receiver);
  detail::raise_if_woken_to(detail::switch_to(s, s.current, receiver));
}

template <class T>
[[gnu::always_inline]] inline T channel<T>::receive() {
  detail::scheduler& s = detail::mine();
  if (s.unusual() || balance_ > 0 || s.current->next == s.current) [[unlikely]] return receive_otherwise();
  detail::record* me = s.current;
  detail::record* to = me->next;
  detail::unlink(me);
  me->state = detail::state::receiving;
  push_back(me);
  --balance_;
  return cargo::take(woken(detail::switch_to(s, me, to)));
}

template <class T>
void channel<T>::send_otherwise(T&& value) {
  detail::scheduler& s = detail::begin();
  if (balance_ < 0) {
    detail::record* receiver = front();
    cargo::put(receiver, std::move(value));
    pop_front();
    ++balance_;
    detail::raise_if_woken_to(proceed(s, receiver, preference_ < 0));
  } else {
    refuse_deadlock(s);
    cargo::put(s.current, std::move(value));
    woken(wait(s, detail::state::sending));
  }
}

template <class T>
T channel<T>::receive_otherwise() {
  detail::scheduler& s = detail::begin();
  return balance_ > 0 ? receive_from_sender(s) : receive_waiting(s);
}

template <class T>
T channel<T>::receive_waiting(detail::scheduler& s) {
  refuse_deadlock(s);
  return cargo::take(woken(wait(s, detail::state::receiving)));
}

template <class T>
T channel<T>::receive_from_sender(detail::scheduler& s) {
  detail::record* sender = front();
  T value = cargo::take_from(sender);
  pop_front();
  --balance_;
  detail::raise_if_woken_to(proceed(s, sender, preference_ > 0));
  return value;
}

STACKLESS_END
