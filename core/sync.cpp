#include <stackless/sync.hpp>

STACKLESS_BEGIN

void mutex::lock() {
  detail::scheduler& s = detail::begin();
  detail::holding held(*this, s);
  const std::uintptr_t me = detail::tagged<detail::owner_tag>(s.current);
  if (owner_ == me) {
    throw state_error("the tasklet has locked this mutex already, and would wait for itself: unlock it first, or let only "
                      "the caller of this lock it");
  }
  if (owner_ == 0) {
    owner_ = me;
  } else {
    wait_to_be_given(held, s, [this] { unlock(); });
  }
}

bool mutex::try_lock() {
  detail::scheduler& s = detail::begin();
  const detail::holding held(*this, s);
  if (owner_ != 0) return false;
  owner_ = detail::tagged<detail::owner_tag>(s.current);
  return true;
}

void mutex::unlock() {
  detail::scheduler& s = detail::here();
  const detail::holding held(*this, s);
  if (owner_ != detail::tagged<detail::owner_tag>(s.current)) {
    throw state_error("the mutex is not the caller's to unlock: the tasklet that has locked it has to");
  }
  detail::record* next = front();
  owner_ = detail::tagged<detail::owner_tag>(next);
  if (next != nullptr) give(s, next);
}

bool semaphore::take() {
  if (permits_ == 0) return false;
  --permits_;
  return true;
}

void semaphore::acquire() {
  detail::scheduler& s = detail::begin();
  detail::holding held(*this, s);
  if (!take()) wait_to_be_given(held, s, [this] { release(); });
}

bool semaphore::try_acquire() {
  const detail::holding held(*this, detail::begin());
  return take();
}

void semaphore::release(std::size_t permits) {
  detail::scheduler& s = detail::here();
  const detail::holding held(*this, s);
  permits_ += permits;
  while (front() != nullptr && take()) give(s, front());
}

void wait_group::add(std::ptrdiff_t n) {
  detail::scheduler& s = detail::here();
  const detail::holding held(*this, s);
  if (to_do_ + n < 0) throw state_error("more would be done than was to do: add() before the work begins");
  to_do_ += n;
  if (to_do_ == 0) let_all_go(s);
}

void wait_group::wait() {
  detail::scheduler& s = detail::begin();
  detail::holding held(*this, s);
  if (to_do_ != 0) wait_for_opening(held, s);
}

void event::set() {
  detail::scheduler& s = detail::here();
  const detail::holding held(*this, s);
  set_ = true;
  let_all_go(s);
}

void event::reset() {
  const detail::holding held(*this, detail::here());
  set_ = false;
}

bool event::is_set() const {
  const detail::holding held(*this, detail::here());
  return set_;
}

void event::wait() {
  detail::scheduler& s = detail::begin();
  detail::holding held(*this, s);
  if (!set_) wait_for_opening(held, s);
}

STACKLESS_END
