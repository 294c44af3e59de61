#pragma once

/// Mutexes and their kin, for tasklets: who has to wait gives way to others, and the thread goes on.
///
///   stackless::mutex m;
///   int balance = 0;
///
///   void pay(int amount) {
///     const std::lock_guard locked(m);
///     const int before = balance;
///     stackless::schedule();                          // others run, and none of them gets in here
///     balance = before + amount;
///   }
///
/// Tasklets of any thread may use them; they cost least while those of one do. Who waits is blocked as on a channel,
/// and goes on in the order in which it came. kill(), throw_exception() and the end of a `timeout` end the wait; what
/// had been given to the tasklet by then goes on to the next. If one is destroyed, those who wait for it wake with a
/// state_error.
///
/// They are saved as channels are: in the picklable heap with all that they hold, while for a global one the tasklet
/// meets the values of the new process. A tasklet that comes back waiting for a global one that is free there goes on
/// after the next unlock(), release(), done() to zero, or set().
///
/// What blocks throws deadlock_error if nobody else could run then, trap_error where blocking is forbidden, what the
/// caller is woken with, and then has taken nothing.

#include <cstddef>
#include <cstdint>

#include <stackless/detail/gate.hpp>
#include <stackless/error.hpp>

STACKLESS_BEGIN

/// Only one tasklet at a time has it. Goes with std::lock_guard and std::unique_lock. One that is saved takes along the
/// tasklet that has it.
class mutex : private detail::gate {
 public:
  constexpr mutex() = default;

  /// Waits until it is the caller's turn to have it. Throws state_error: it has it already.
  void lock();

  /// The same if it need not wait; false, and nothing has changed, if somebody has it.
  bool try_lock();

  /// The one that has waited longest has it next; nobody gives way. Throws state_error: the caller does not have it.
  void unlock();

 private:
  std::uintptr_t owner_ = 0;  // the record, tagged
};

/// So many permits; who wants one waits until there is one.
class semaphore : private detail::gate {
 public:
  constexpr explicit semaphore(std::size_t permits) : permits_(permits) {}

  /// Takes a permit, or waits for one.
  void acquire();

  /// The same if it need not wait; else false.
  bool try_acquire();

  /// So many more permits, for those that have waited longest; nobody gives way. Whoever calls it need not have
  /// acquired.
  void release(std::size_t permits = 1);

 private:
  bool take();

  std::size_t permits_;
};

/// Counts what is still to be done.
///
///   stackless::wait_group all;
///   for (auto& part : parts) {
///     all.add();
///     stackless::tasklet([&] { work_on(part); all.done(); });
///   }
///   all.wait();
class wait_group : private detail::gate {
 public:
  constexpr wait_group() = default;

  /// So much more is to be done; less, if it is negative. At zero all who wait go on. Throws state_error: it would be
  /// less than nothing.
  void add(std::ptrdiff_t n = 1);
  void done() { add(-1); }

  /// Waits until nothing is to be done.
  void wait();

 private:
  std::ptrdiff_t to_do_ = 0;
};

/// Something that has happened, or not yet.
class event : private detail::gate {
 public:
  constexpr event() = default;

  /// It has happened: all who wait go on, and nobody waits any more before reset().
  void set();
  void reset();
  bool is_set() const;

  /// Waits until it has happened.
  void wait();

 private:
  bool set_ = false;
};

STACKLESS_END
