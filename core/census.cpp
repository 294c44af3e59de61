#include "core/census.hpp"

#include <sys/stat.h>
#include <sys/single_threaded.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <climits>
#include <cstdio>

#include "arch/lock.hpp"
#include "core/fork_level.hpp"

STACKLESS_BEGIN
namespace census {
namespace {

/// Threads of the process. If nobody can tell, there are many: to wait in vain is better than to call a deadlock what
/// is none.
long count_threads() noexcept {
  struct stat task;
  if (stat("/proc/self/task", &task) != 0) return LONG_MAX;
  return static_cast<long>(task.st_nlink) - 2;  // a link for each, as each is a folder
}

/// Those that sanitizers and emulators have started; they do nothing for the program. ThreadSanitizer's comes with the
/// second thread of the program, the others are there before it begins.
const long threads_of_others = STACKLESS_TSAN ? 1 : __libc_single_threaded ? count_threads() - 1 : 0;

constinit arch::spin_lock lock;
long members = 0;  ///< threads that use the library
long waiting = 0;  ///< of them

// Threads that do nothing any more, but are counted until the kernel is rid of them.
std::array<pid_t, 64> leaving;
std::size_t leaving_count = 0;

const arch::fork_hook at_fork(fork_level::census, arch::hold<lock>, arch::release<lock>);

bool is_gone(pid_t thread) noexcept {
  char path[64];
  std::snprintf(path, sizeof path, "/proc/self/task/%d", thread);
  return access(path, F_OK) != 0;
}

/// More than `n` threads do not wait. With the lock held.
bool more_are_active_than(long n) noexcept {
  if (__libc_single_threaded) return false;
  if (members - waiting > n) return true;
  // Others may use the library yet. A thread that goes meanwhile must not be missed twice.
  long threads;
  do {
    threads = count_threads();
    const auto end = std::remove_if(leaving.begin(), leaving.begin() + leaving_count, is_gone);
    leaving_count = static_cast<std::size_t>(end - leaving.begin());
  } while (threads != count_threads());
  return threads - threads_of_others - static_cast<long>(leaving_count) - waiting > n;
}

}  // namespace

bool others_are_active() noexcept {
  const arch::locked hold(lock);
  return more_are_active_than(1);
}

bool begin_waiting() noexcept {
  const arch::locked hold(lock);
  ++waiting;
  return more_are_active_than(0);
}

void end_waiting() noexcept {
  const arch::locked hold(lock);
  --waiting;
}

void join() noexcept {
  const arch::locked hold(lock);
  ++members;
}

void leave() noexcept {
  const arch::locked hold(lock);
  --members;
  if (leaving_count != leaving.size()) leaving[leaving_count++] = static_cast<pid_t>(syscall(SYS_gettid));
}

void begin_anew(bool is_member) noexcept {
  members = is_member;
  waiting = 0;
  leaving_count = 0;
}

}  // namespace census
STACKLESS_END
