#include <stackless/group.hpp>

#include <algorithm>
#include <cstdio>
#include <cstdlib>

#include "core/access.hpp"
#include "core/extras.hpp"
#include "core/hooks.hpp"
#include "core/scheduler.hpp"

STACKLESS_BEGIN
namespace detail {

void nursery::refuse_if_ending() const {
  refuse_abroad(owner);
  if (!ending) return;
  throw state_error("the group is ending, for it was cancelled or one of it has failed: wait() for it first");
}

void nursery::fail(std::exception_ptr why) noexcept {
  if (failure == nullptr) failure = std::move(why);
  kill_others();
}

void nursery::kill_others() {
  ending = true;
  for (tasklet& t : all) {
    if (!t.is_current()) t.kill(when::pending);
  }
}

}  // namespace detail

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
  if (!inside_->all.empty()) {
    if (detail::here().switch_traps > 0) give_up("switching is forbidden here");
    if (std::ranges::find(inside_->all, current()) != inside_->all.end()) give_up("it is destroyed by one of them");
    const blockable to_wait;
    inside_->kill_others();
    for (int attempts = 1; !inside_->all.empty();) {
      try {
        join_all();
      } catch (const deadlock_error&) {
        // They have caught TaskletExit, and nobody is left who could wake them.
        if (attempts++ == attempts_to_kill) give_up("they catch TaskletExit again and again");
        inside_->kill_others();
      } catch (...) {
        woken_to = std::current_exception();
      }
    }
  }
  if (woken_to == nullptr && std::uncaught_exceptions() == exceptions_) woken_to = std::move(inside_->failure);
  if (woken_to != nullptr) throw_later(std::move(woken_to));
}

void group::wait() {
  if (detail::here().current != inside_->owner) {
    throw state_error("a group is waited for by the tasklet that made it: others can wait for a wait_group");
  }
  join_all();
  inside_->ending = false;
  if (inside_->failure != nullptr) std::rethrow_exception(std::exchange(inside_->failure, nullptr));
}

void group::cancel() {
  detail::refuse_abroad(inside_->owner);
  inside_->kill_others();
  if (std::ranges::find(inside_->all, current()) != inside_->all.end()) throw TaskletExit{};
}

tasklet group::enter(tasklet t) {
  detail::extras_of(tasklet_access::record(t));  // or there might be no memory to wait for it
  if (inside_->all.size() >= inside_->look_at) {
    std::erase_if(inside_->all, [](const tasklet& each) { return !each.alive(); });
    inside_->look_at = std::max(inside_->look_at, 2 * inside_->all.size());
  }
  inside_->all.push_back(t);
  return t.insert();
}

void group::join_all() {
  while (!inside_->all.empty()) {
    if (inside_->all.back().alive()) {
      tasklet(inside_->all.back()).join();
    } else {
      inside_->all.pop_back();
    }
  }
}

STACKLESS_END
