#include "arch/fork.hpp"

#include <pthread.h>

STACKLESS_BEGIN
namespace arch {

constinit spin_lock fork_hook::list_lock;
constinit fork_hook* fork_hook::outermost = nullptr;

void fork_hook::before() noexcept {
  list_lock.lock();
  for (const fork_hook* each = outermost; each != nullptr; each = each->inner_) each->hold_();
}

void fork_hook::after_in_parent() noexcept {
  for (const fork_hook* each = outermost; each != nullptr; each = each->inner_) each->release_();
  list_lock.unlock();
}

void fork_hook::after_in_child() noexcept {
  for (const fork_hook* each = outermost; each != nullptr; each = each->inner_) {
    if (each->in_child_ != nullptr) each->in_child_();
  }
  after_in_parent();
}

fork_hook::fork_hook(unsigned level, step hold, step release, step in_child) noexcept
    : level_(level), hold_(hold), release_(release), in_child_(in_child) {
  const locked held(list_lock);
  if (outermost == nullptr) pthread_atfork(before, after_in_parent, after_in_child);
  fork_hook** place = &outermost;
  while (*place != nullptr && (*place)->level_ > level) place = &(*place)->inner_;
  inner_ = *place;
  *place = this;
}

}  // namespace arch
STACKLESS_END
