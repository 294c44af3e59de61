#pragma once

/// Locks held across fork(), so that the child, which has one thread, finds none of them taken by another.

#include <stackless/config.hpp>

#include "arch/lock.hpp"

STACKLESS_BEGIN
namespace arch {

/// Belongs to whoever owns the lock, for ever.
struct fork_hook {
  spin_lock& lock;
  void (*in_child)(void* owner) noexcept;  ///< with the lock held; nullptr: nothing to do
  void* owner = nullptr;
  fork_hook* next = nullptr;
  bool known = false;
};

/// From now on the lock is held across fork(). A lock that is taken while others are held must be made known
/// before they are: they are taken in the opposite order. Call it without holding any; again, if that is
/// easier.
void hold_across_fork(fork_hook& hook) noexcept;

}  // namespace arch
STACKLESS_END
