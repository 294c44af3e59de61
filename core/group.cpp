#include <stackless/group.hpp>

#include <algorithm>
#include <cstdio>
#include <cstdlib>

#include "core/access.hpp"
#include "core/extras.hpp"
#include "core/hooks.hpp"
#include "core/scheduler.hpp"

STACKLESS_BEGIN
namespace {

constexpr int attempts_to_kill = 10;

/// Frames that are gone would be in use.
[[noreturn]] void give_up(const char* why) noexcept {
  std::fprintf(stderr, "stackless: error: a group is destroyed and its tasklets cannot be waited for: %s\n", why);
  std::abort();
}

/// While it lives, the current tasklet may be blocked.
class blockable {
 public:
  blockable() { whose_.block_trap(false); }
  ~blockable() { whose_.block_trap(before_); }
  blockable(const blockable&) = delete;
  blockable& operator=(const blockable&) = delete;

 private:
  tasklet whose_ = current();
  const bool before_ = whose_.block_trap();
};

/// The current tasklet cannot throw it here.
void throw_later(std::exception_ptr failure) noexcept {
  detail::scheduler& s = detail::here();
  detail::fail(s.current, std::move(failure));
  detail::attend(s, detail::attention::unsettled, true);
}

}  // namespace

group::~group() {
  std::exception_ptr woken_to;
  if (!all_.empty()) {
    if (detail::here().switch_traps > 0) give_up("switching is forbidden here");
    if (std::ranges::find(all_, current()) != all_.end()) give_up("it is destroyed by one of them");
    const blockable to_wait;
    kill_others();
    for (int attempts = 1; !all_.empty();) {
      try {
        join_all();
      } catch (const deadlock_error&) {
        // They have caught TaskletExit, and nobody is left who could wake them.
        if (attempts++ == attempts_to_kill) give_up("they catch TaskletExit again and again");
        kill_others();
      } catch (...) {
        woken_to = std::current_exception();
      }
    }
  }
  if (woken_to == nullptr && std::uncaught_exceptions() == exceptions_) woken_to = std::move(failure_);
  if (woken_to != nullptr) throw_later(std::move(woken_to));
}

void group::wait() {
  if (detail::here().current != owner_) {
    throw state_error("a group is waited for by the tasklet that made it: others can wait for a wait_group");
  }
  join_all();
  ending_ = false;
  if (failure_ != nullptr) std::rethrow_exception(std::exchange(failure_, nullptr));
}

void group::cancel() {
  detail::refuse_abroad(owner_);
  kill_others();
  if (std::ranges::find(all_, current()) != all_.end()) throw TaskletExit{};
}

tasklet group::enter(tasklet t) {
  detail::extras_of(tasklet_access::record(t));  // or there might be no memory to wait for it
  if (all_.size() >= look_at_) {
    std::erase_if(all_, [](const tasklet& each) { return !each.alive(); });
    look_at_ = std::max(look_at_, 2 * all_.size());
  }
  all_.push_back(t);
  return t.insert();
}

void group::refuse_if_ending() const {
  detail::refuse_abroad(owner_);
  if (!ending_) return;
  throw state_error("the group is ending, for it was cancelled or one of it has failed: wait() for it first");
}

void group::fail(std::exception_ptr failure) noexcept {
  if (failure_ == nullptr) failure_ = std::move(failure);
  kill_others();
}

void group::kill_others() {
  ending_ = true;
  for (tasklet& t : all_) {
    if (!t.is_current()) t.kill(when::pending);
  }
}

void group::join_all() {
  while (!all_.empty()) {
    if (all_.back().alive()) {
      tasklet(all_.back()).join();
    } else {
      all_.pop_back();
    }
  }
}

STACKLESS_END
