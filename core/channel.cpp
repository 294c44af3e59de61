#include <stackless/channel.hpp>
#include <stackless/error.hpp>

#include <exception>
#include <utility>

#include "core/access.hpp"
#include "core/hooks.hpp"
#include "core/scheduler.hpp"

STACKLESS_BEGIN

channel_base::~channel_base() {
  while (detail::record* r = front()) {
    detail::stop_waiting(r);
    detail::fail(r, std::make_exception_ptr(state_error("the channel was destroyed while the tasklet waited on it: "
                                                        "let a channel outlive those who use it")));
    detail::append(detail::here(), r);
  }
}

void channel_base::close() {
  set_special(closes, true);
  for (detail::record *r = front(), *next; r != nullptr; r = next) {
    next = r->next;
    if (!r->iterates) continue;
    detail::stop_waiting(r);
    detail::fail(r, std::make_exception_ptr(end_of_iteration{}));
    detail::append(detail::here(), r);
  }
}

std::optional<tasklet> channel_base::queue() const {
  if (front() == nullptr) return std::nullopt;
  return tasklet_access::handle_to(front());
}

void channel_base::refuse_to_block(const detail::scheduler& s) const {
  if (s.current->block_trap) {
    throw trap_error("this tasklet does not like to be blocked: its block_trap is set, and nobody waits to be met");
  }
  if (closing()) {
    throw closed_error("Send/receive operation on a closed channel: open it first, or stop when closing() says so");
  }
  if (s.current->next == s.current && s.runner == nullptr) {
    throw deadlock_error(
        "Deadlock: the last runnable tasklet cannot be blocked: first start or insert one that sends or receives");
  }
  detail::refuse_trapped_switch(s);
}

detail::record* channel_base::wait(detail::scheduler& s, detail::state as) {
  detail::record* me = s.current;
  detail::record* to = detail::successor(s, me);
  detail::unlink(me);
  me->state = as;
  push_back(me);
  gauge_ += as == detail::state::sending ? 1 : -1;
  return detail::give_way(s, me, to);
}

void channel_base::refuse_trapped(const detail::scheduler& s, turn t) {
  if (t != turn::caller) detail::refuse_trapped_switch(s);
}

detail::record* channel_base::proceed(detail::scheduler& s, detail::record* partner, turn t) {
  switch (t) {
    case turn::caller:
      detail::append(s, partner);
      break;
    case turn::partner:
      detail::insert_next(s, partner);
      return detail::give_way(s, s.current, partner);
    case turn::others:
      detail::append(s, partner);
      return detail::give_way(s, s.current, s.current->next);
  }
  return s.current;
}

void channel_base::send_failure(std::exception_ptr failure) {
  detail::refuse_nothing(failure);
  detail::scheduler& s = detail::begin();
  notify(s, true, balance() >= 0);
  if (balance() < 0) {
    refuse_trapped(s, turn_after_send());
    detail::record* receiver = front();
    detail::stop_waiting(receiver);
    detail::fail(receiver, std::move(failure));
    detail::raise_if_woken_to(proceed(s, receiver, turn_after_send()));
  } else {
    refuse_to_block(s);
    detail::put_failure(s.current, std::move(failure));
    s.current->sends_failure = true;
    detail::raise_if_woken_to(wait(s, detail::state::sending));
  }
}

std::exception_ptr channel_base::receive_failure(detail::scheduler& s) {
  detail::record* sender = front();
  if (!sender->sends_failure) return nullptr;
  std::exception_ptr failure = detail::take_failure(sender);
  sender->sends_failure = false;
  detail::stop_waiting(sender);
  detail::raise_if_woken_to(proceed(s, sender, turn_after_receive()));
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
  gauge_ += r->state == detail::state::sending ? -1 : 1;
  r->blocked_on = nullptr;
}

STACKLESS_END
