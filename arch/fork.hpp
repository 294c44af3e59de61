#pragma once

/// Locks held across fork(), so that the child, which has one thread, finds none of them taken by another.

#include <stackless/config.hpp>

#include "arch/lock.hpp"

STACKLESS_BEGIN
namespace arch {

/// The locks of a module. Make it a static variable: it has to be there before the first of them is taken, and it stays
/// for ever.
class fork_hook {
 public:
  using step = void (*)() noexcept;

  /// `level` is above those of all locks that may be taken while these are held. `in_child` is called with all locks of
  /// all modules held; nullptr: nothing to do.
  fork_hook(unsigned level, step hold, step release, step in_child = nullptr) noexcept;
  fork_hook(const fork_hook&) = delete;
  fork_hook& operator=(const fork_hook&) = delete;

 private:
  static void before() noexcept;
  static void after_in_parent() noexcept;
  static void after_in_child() noexcept;

  static spin_lock list_lock;
  static fork_hook* outermost;

  const unsigned level_;
  const step hold_, release_, in_child_;
  fork_hook* inner_;
};

/// For a module with one lock.
template <spin_lock& lock>
void hold() noexcept {
  lock.lock();
}
template <spin_lock& lock>
void release() noexcept {
  lock.unlock();
}

namespace fork_level {
inline constexpr unsigned metadata = 0, region = 1;
inline constexpr unsigned first_above = 2;  ///< of those who allocate here
}  // namespace fork_level

}  // namespace arch
STACKLESS_END
