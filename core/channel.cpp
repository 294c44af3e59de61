#include <stackless/channel.hpp>
#include <stackless/error.hpp>

#include <exception>
#include <utility>

#include "core/access.hpp"
#include "core/hooks.hpp"
#include "core/idle.hpp"
#include "core/inbox.hpp"
#include "core/scheduler.hpp"
#include "core/selection.hpp"

STACKLESS_BEGIN

channel_base::~channel_base() {
  if (used_by_ == nobody) return;
  detail::scheduler& s = detail::here();
  const detail::holding held(*this, s);
  drop_claimed();
  while (detail::record* r = front()) {
    if (!claim_front()) continue;
    forget(r);
    detail::fail(r, std::make_exception_ptr(state_error("what the tasklet waited on was destroyed: let channels, "
                                                        "mutexes and the like outlive those who use them")));
    make_ready(s, r);
  }
}

int channel_base::balance() const {
  if (used_by_ == nobody) return 0;
  const detail::holding held(*this, detail::here());
  const_cast<channel_base*>(this)->drop_claimed();
  return count();
}

void channel_base::preference(int p) {
  const detail::holding held(*this, detail::here());
  preference_ = static_cast<std::int8_t>(p < 0 ? -1 : p > 0 ? 1 : 0);
  set_special(prefers, preference_ != -1);
}

void channel_base::schedule_all(bool on) {
  const detail::holding held(*this, detail::here());
  set_special(gives_way, on);
}

void channel_base::close() {
  detail::scheduler& s = detail::here();
  const detail::holding held(*this, s);
  set_special(closes, true);
  for (detail::record *r = front(), *next; r != nullptr; r = next) {
    next = r->next;
    if (!r->iterates) continue;
    forget(r);
    detail::fail(r, std::make_exception_ptr(end_of_iteration{}));
    make_ready(s, r);
  }
}

void channel_base::open() {
  const detail::holding held(*this, detail::here());
  set_special(closes, false);
}

bool channel_base::closed() const {
  const detail::holding held(*this, detail::here());
  return closing() && count() == 0 && !is(holds);
}

std::optional<tasklet> channel_base::queue() const {
  const detail::holding held(*this, detail::here());
  if (front() == nullptr) return std::nullopt;
  return tasklet_access::handle_to(front());
}

void channel_base::refuse_to_block(detail::scheduler& s) const {
  if (s.current->block_trap) {
    throw trap_error("this tasklet does not like to be blocked: its block_trap is set, and it would have to wait here");
  }
  if (closing()) {
    throw closed_error("Send/receive operation on a closed channel: open it first, or stop when closing() says so");
  }
  const bool last = s.current->next == s.current && s.runner == nullptr;
  if (last && !detail::others_may_wake(s)) {
    throw deadlock_error(
        "Deadlock: the last runnable tasklet cannot be blocked: first start or insert one that can wake it");
  }
  detail::refuse_trapped_switch(s);
  if (last) detail::keep_idler(s);
}

detail::record* channel_base::wait(detail::holding& held, detail::scheduler& s, detail::state as) {
  detail::record* me = s.current;
  detail::record* to = detail::successor(s, me);
  detail::unlink(me);
  me->state = as;
  push_back(me);
  count_one(as, 1);
  held.release();
  return detail::give_way(s, me, to);
}

void channel_base::refuse_trapped(const detail::scheduler& s, turn t) {
  if (t != turn::caller) detail::refuse_trapped_switch(s);
}

bool channel_base::claim_front() noexcept {
  detail::record* r = front();
  if (r->choice == nullptr || r->choice->claim(r)) return true;
  forget(r);
  return false;
}

void channel_base::disclaim_front(detail::scheduler& s) noexcept {
  detail::record* r = front();
  if (r->choice == nullptr) return;
  forget(r);
  r->choice->begin_anew();
  make_ready(s, r);
}

void channel_base::drop_claimed() noexcept {
  if (!is(selects)) return;
  for (detail::record *r = front(), *next; r != nullptr; r = next) {
    next = r->next;
    if (r->choice != nullptr && r->choice->is_claimed()) forget(r);
  }
  if (front() == nullptr) set_special(selects, false);
}

bool channel_base::meets_receiver(const detail::scheduler& s) {
  drop_claimed();
  while (count() < 0) {
    refuse_trapped(s, turn_after_send(s));
    if (claim_front()) return true;
  }
  return false;
}

bool channel_base::meets_sender(const detail::scheduler& s) {
  drop_claimed();
  while (count() > 0) {
    refuse_trapped(s, turn_after_receive(s));
    if (claim_front()) return true;
  }
  return false;
}

void channel_base::make_ready(detail::scheduler& s, detail::record* r) noexcept {
  r = detail::behind(r);
  if (is_abroad(s, r)) {
    detail::send_home(r);
  } else {
    detail::append(s, r);
  }
}

detail::record* channel_base::proceed(detail::holding& held, detail::scheduler& s, detail::record* partner, turn t) {
  if (t == turn::partner) {
    detail::insert_next(s, detail::behind(partner));
  } else {
    make_ready(s, partner);
  }
  held.release();
  return t == turn::caller ? s.current : detail::give_way(s, s.current, s.current->next);
}

void channel_base::send_failure(std::exception_ptr failure) {
  detail::refuse_nothing(failure);
  detail::scheduler& s = detail::begin();
  if (s.heeds(detail::attention::observed)) notify(s, true, balance() >= 0);
  detail::holding held(*this, s);
  if (meets_receiver(s)) {
    const turn next = turn_after_send(s);
    detail::record* receiver = front();
    forget(receiver);
    detail::fail(receiver, std::move(failure));
    detail::raise_if_woken_to(proceed(held, s, receiver, next));
  } else {
    refuse_to_block(s);
    detail::put_failure(s.current, std::move(failure));
    s.current->sends_failure = true;
    detail::raise_if_woken_to(wait(held, s, detail::state::sending));
  }
}

std::exception_ptr channel_base::receive_failure(detail::holding& held, detail::scheduler& s) {
  const turn next = turn_after_receive(s);
  detail::record* sender = front();
  std::exception_ptr failure = detail::take_failure(sender);
  sender->sends_failure = false;
  forget(sender);
  detail::raise_if_woken_to(proceed(held, s, sender, next));
  return failure;
}

void channel_base::forget(detail::record* r) noexcept {
  if (std::exchange(r->sends_failure, false)) detail::take_failure(r);
  if (r->previous != nullptr) {
    r->previous->next = r->next;
  } else {
    head_ = detail::tagged<detail::queue_tag>(r->next);
  }
  if (r->next != nullptr) {
    r->next->previous = r->previous;
  } else {
    tail_ = detail::tagged<detail::queue_tag>(r->previous);
  }
  count_one(r->state, -1);
  // Any other keeps the channel's name until it is in its inbox, so that its thread finds it in one of the two.
  if (r->choice != nullptr) r->blocked_on = nullptr;
}

STACKLESS_END
