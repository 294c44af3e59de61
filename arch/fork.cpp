#include "arch/fork.hpp"

#include <pthread.h>

STACKLESS_BEGIN
namespace arch {
namespace {

constinit spin_lock hooks_lock;
constinit fork_hook* hooks = nullptr;  ///< the latest first

void before() {
  hooks_lock.lock();
  for (fork_hook* each = hooks; each != nullptr; each = each->next) each->lock.lock();
}

void after_in_parent() {
  for (fork_hook* each = hooks; each != nullptr; each = each->next) each->lock.unlock();
  hooks_lock.unlock();
}

void after_in_child() {
  for (fork_hook* each = hooks; each != nullptr; each = each->next) {
    if (each->in_child != nullptr) each->in_child(each->owner);
  }
  after_in_parent();
}

}  // namespace

void hold_across_fork(fork_hook& hook) noexcept {
  bool first;
  {
    locked hold(hooks_lock);
    if (hook.known) return;
    hook.known = true;
    first = hooks == nullptr;
    hook.next = hooks;
    hooks = &hook;
  }
  if (first) pthread_atfork(before, after_in_parent, after_in_child);
}

}  // namespace arch
STACKLESS_END
