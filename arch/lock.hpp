#pragma once

/// A spin lock for the few instructions in which memory changes hands. Nothing is thrown while it is held: an
/// exception may itself want memory.

#include <sched.h>
#include <sys/single_threaded.h>

#include <atomic>
#include <stackless/config.hpp>

STACKLESS_BEGIN
namespace arch {

class spin_lock {
 public:
  constexpr spin_lock() = default;
  spin_lock(const spin_lock&) = delete;
  spin_lock& operator=(const spin_lock&) = delete;

  void lock() noexcept {
    if (taken_.exchange(true, std::memory_order_acquire)) wait();
  }

  void unlock() noexcept { taken_.store(false, std::memory_order_release); }

 private:
  static constexpr int patience = 100;

  [[gnu::noinline, gnu::cold]] void wait() noexcept {
    int attempts = 0;
    do {
      while (taken_.load(std::memory_order_relaxed)) {
        if (++attempts > patience) sched_yield();  // whoever holds it may have lost its processor
      }
    } while (taken_.exchange(true, std::memory_order_acquire));
  }

  std::atomic<bool> taken_ = false;
};

/// Holds a lock while it lives. A process with one thread needs none; a second thread cannot appear before
/// this one is done, but what was not taken must not be given back, so the choice is remembered.
class locked {
 public:
  explicit locked(spin_lock& lock) noexcept : lock_(__libc_single_threaded ? nullptr : &lock) {
    if (lock_ != nullptr) lock_->lock();
  }
  ~locked() {
    if (lock_ != nullptr) lock_->unlock();
  }
  locked(const locked&) = delete;
  locked& operator=(const locked&) = delete;

 private:
  spin_lock* lock_;
};

}  // namespace arch
STACKLESS_END
