#pragma once

/// Waiting on several channels at once.
///
///   stackless::alarm limit(5s);                                     // of events.hpp
///   stackless::select(
///       stackless::on_receive(orders, [&](order o) { accept(std::move(o)); }),
///       stackless::on_send(replies, std::move(reply), [&] { ++sent; }),
///       stackless::on_receive(limit.channel(), [&] { give_up(); }));
///
/// One case goes on, and its function is called. Channels may be used by any threads.

#include <algorithm>
#include <array>
#include <concepts>
#include <cstddef>
#include <functional>
#include <optional>
#include <span>
#include <type_traits>
#include <utility>

#include <stackless/channel.hpp>

STACKLESS_BEGIN
namespace detail {

/// A case of a select, whatever its channel carries.
class select_case {
 public:
  /// Goes on if it need not wait.
  virtual bool try_now() = 0;

  /// For those who hold the channel: nobody can be met.
  virtual bool must_wait() const = 0;

  /// `r` is about to wait for it in the place of the caller: it is given what there is to send.
  virtual void prepare(record* r) = 0;
  /// `r` has met somebody. Throws what it was woken with.
  virtual void finish(record* r) = 0;
  /// `r` has met nobody and waits no longer, but another may wait in its place.
  virtual void take_back(record* r) = 0;
  /// What `r` still has is not wanted any more.
  virtual void drop(record* r) noexcept = 0;

  channel_base& on() const { return on_; }
  bool sends() const { return sends_; }

 protected:
  select_case(channel_base& on, bool sends) : on_(on), sends_(sends) {}
  ~select_case() = default;

 private:
  channel_base& on_;
  const bool sends_;
};

/// The index of the case that went on; none, and nothing done, if all would have to wait and must not.
std::optional<std::size_t> select_one(std::span<select_case* const>, bool may_wait);

template <class T, class F>
class receive_case final : public select_case {
 public:
  receive_case(channel<T>& c, F f) : select_case(c, false), channel_(c), f_(std::move(f)) {}

  bool try_now() override {
    if (std::optional<T> received = channel_.try_receive()) value_.emplace(std::move(*received));
    return value_.has_value();
  }
  bool must_wait() const override { return !channel_.has_value(); }
  void prepare(record*) override {}
  void finish(record* r) override {
    if (r->wake != wake::normally) cargo<T>::raise_without(r);
    value_.emplace(cargo<T>::take(r));
  }
  void take_back(record*) override {}
  void drop(record* r) noexcept override { cargo<T>::drop(r); }
  void call() {
    if constexpr (std::same_as<T, nothing>) {
      std::invoke(f_);
    } else {
      std::invoke(f_, std::move(*value_));
    }
  }

 private:
  channel<T>& channel_;
  F f_;
  std::optional<T> value_;
};

template <class T, class F>
class send_case final : public select_case {
 public:
  send_case(channel<T>& c, T value, F f)
      : select_case(c, true), channel_(c), value_(std::move(value)), f_(std::move(f)) {}

  bool try_now() override { return channel_.try_send(std::move(*value_)); }
  bool must_wait() const override { return channel_.would_block_sender(); }
  void prepare(record* r) override { cargo<T>::put(r, std::move(*value_)); }
  void finish(record* r) override {
    if (r->wake != wake::normally) cargo<T>::raise_without(r);
  }
  void take_back(record* r) override {
    if (r->has_cargo) value_.emplace(cargo<T>::take(r));
  }
  void drop(record* r) noexcept override { cargo<T>::drop(r); }
  void call() { std::invoke(f_); }

 private:
  channel<T>& channel_;
  std::optional<T> value_;
  F f_;
};

template <class F>
class default_case {
 public:
  explicit default_case(F f) : f_(std::move(f)) {}
  void call() { std::invoke(f_); }

 private:
  F f_;
};

template <class Case>
constexpr bool waits = std::derived_from<Case, select_case>;

}  // namespace detail

/// A case that receives: `f(value)`; of a channel<void>, `f()`.
template <class T, class F>
auto on_receive(channel<T>& c, F f) {
  if constexpr (std::is_void_v<T>) {
    return detail::receive_case<detail::nothing, F>(c, std::move(f));
  } else {
    return detail::receive_case<T, F>(c, std::move(f));
  }
}

/// A case that sends `value`, then `f()`.
template <class T, class F>
auto on_send(channel<T>& c, std::type_identity_t<T> value, F f) {
  return detail::send_case<T, F>(c, std::move(value), std::move(f));
}
template <class F>
auto on_send(channel<void>& c, F f) {
  return detail::send_case<detail::nothing, F>(c, {}, std::move(f));
}

/// The case if all others would have to wait. It comes last.
template <class F>
auto otherwise(F f) {
  return detail::default_case<F>(std::move(f));
}

/// Goes on with one case, calls its function and returns its index. Of several that need not wait each gets its turn; if
/// all have to, the caller waits until one is met. Channels that are closed are never met. Throws as channel<T>::send and
/// receive do; closed_error: all channels are closed; error: one channel is both to be sent to and received from.
template <class... Cases>
std::size_t select(Cases... cases) {
  constexpr std::size_t waiting = (std::size_t{detail::waits<Cases>} + ...);
  constexpr std::array kinds{detail::waits<Cases>...};
  static_assert(waiting > 0 && sizeof...(Cases) - waiting <= 1 && std::ranges::is_partitioned(kinds, std::identity()),
                "there is at most one otherwise(); it comes last, after other cases");
  std::array<detail::select_case*, waiting> all;
  std::size_t count = 0;
  const auto add = [&](auto& c) {
    if constexpr (detail::waits<std::remove_reference_t<decltype(c)>>) all[count++] = &c;
  };
  (add(cases), ...);
  const std::size_t chosen = detail::select_one(all, waiting == sizeof...(Cases)).value_or(waiting);
  std::size_t index = 0;
  ((index++ == chosen ? cases.call() : void()), ...);
  return chosen;
}

STACKLESS_END
