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
long waiting = 0;

// Threads that do nothing any more, but are counted until the kernel is rid of them.
std::array<pid_t, 64> leaving;
std::size_t leaving_count = 0;

bool is_gone(pid_t thread) noexcept {
  char path[64];
  std::snprintf(path, sizeof path, "/proc/self/task/%d", thread);
  return access(path, F_OK) != 0;
}

/// Without those who wait. With the lock held.
long count_active() noexcept {
  const auto end = std::remove_if(leaving.begin(), leaving.begin() + leaving_count, is_gone);
  leaving_count = static_cast<std::size_t>(end - leaving.begin());
  return count_threads() - threads_of_others - static_cast<long>(leaving_count) - waiting;
}

}  // namespace

bool others_are_active() noexcept {
  if (__libc_single_threaded) return false;
  const arch::locked hold(lock);
  return count_active() > 1;
}

bool begin_waiting() noexcept {
  const arch::locked hold(lock);
  ++waiting;
  return !__libc_single_threaded && count_active() > 0;
}

void end_waiting() noexcept {
  const arch::locked hold(lock);
  --waiting;
}

void leave() noexcept {
  const arch::locked hold(lock);
  if (leaving_count != leaving.size()) leaving[leaving_count++] = static_cast<pid_t>(syscall(SYS_gettid));
}

}  // namespace census
STACKLESS_END
