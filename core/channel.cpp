#include <stackless/channel.hpp>
#include <stackless/error.hpp>

#include <exception>

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

void channel_base::refuse_deadlock(const detail::scheduler& s) {
  if (s.current->next != s.current || s.runner != nullptr) return;
  throw deadlock_error(
      "Deadlock: the last runnable tasklet cannot be blocked: first start or insert one that sends or receives");
}

detail::record* channel_base::wait(detail::scheduler& s, detail::state as) {
  detail::record* me = s.current;
  detail::record* to = detail::successor(s, me);
  detail::unlink(me);
  me->state = as;
  push_back(me);
  balance_ += as == detail::state::sending ? 1 : -1;
  return detail::give_way(s, me, to);
}

detail::record* channel_base::proceed(detail::scheduler& s, detail::record* partner, bool partner_first) {
  if (!partner_first) {
    detail::append(s, partner);
    return s.current;
  }
  detail::insert_next(s, partner);
  return detail::give_way(s, s.current, partner);
}

void channel_base::forget(detail::record* r) noexcept {
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
  balance_ += r->state == detail::state::sending ? -1 : 1;
  r->blocked_on = nullptr;
}

STACKLESS_END
