#pragma once

/// How snapshots reach what tasklets and channels keep to themselves.

#include <cstdint>

#include <stackless/channel.hpp>
#include <stackless/tasklet.hpp>

#include "core/record.hpp"
#include "core/sharing.hpp"

STACKLESS_BEGIN

struct tasklet_access {
  static detail::record* record(const tasklet& t) { return t.record(); }

  /// A handle that takes over one of the record's count.
  static tasklet adopt(detail::record* r) { return tasklet(r); }

  /// One more handle.
  static tasklet handle_to(detail::record* r) {
    detail::hold_on(r);
    return tasklet(r);
  }
};

struct channel_access {
  static detail::record* front(const channel_base& c) { return c.front(); }

  /// Whether the bytes of `c` are those of a channel: nobody waits, or those at both ends wait on it.
  static bool is_whole(const channel_base& c) {
    const std::int64_t balance = std::int64_t{c.gauge_.get()} - (c.special_ == 0 ? 0 : channel_base::out_of_line);
    if (balance == 0) return c.head_ == 0 && c.tail_ == 0;
    const auto waits = [&](std::uintptr_t end) {
      detail::record* main = &detail::here().main;
      detail::record* r = end == detail::tagged<detail::queue_tag>(main) ? main : records::find(end);
      return r != nullptr && end == detail::tagged<detail::queue_tag>(r) && r->blocked() && r->blocked_on == &c;
    };
    return waits(c.head_) && waits(c.tail_);
  }

  /// For its only user, and with its lock held.
  static void be_shared(channel_base& c) { c.used_by_.store(channel_base::several, std::memory_order_relaxed); }

  /// Takes `r` out of the queue of `on`, which may be gone if it has left it: whoever takes it out holds the channel. Then
  /// false.
  static bool take_out(detail::record* r, channel_base* on) noexcept {
    const arch::locked hold(detail::lock_of(on));
    if (on == nullptr || r->blocked_on != on) return false;
    on->forget(r);
    r->blocked_on = nullptr;
    on->mark_ = channel_base::unmarked;  // the gauge may be again what it was before the last inlined change
    return true;
  }

  /// Nobody waits or has used it, whatever the bytes of the channel say.
  static void reset(channel_base& c) {
    c.used_by_ = channel_base::nobody;
    c.mark_ = channel_base::unmarked;
    c.head_ = c.tail_ = 0;
    c.gauge_ = c.gauge_ - c.count();
  }

  /// `r` waits as the last, as its state says.
  static void enqueue(channel_base& c, detail::record* r) {
    const detail::holding held(c, detail::here());
    c.push_back(r);
    c.count_one(r->state, 1);
  }
};

STACKLESS_END
