#include "core/census.hpp"

#include <dirent.h>
#include <sys/single_threaded.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <climits>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <utility>

#include "arch/lock.hpp"
#include "core/fork_level.hpp"

STACKLESS_BEGIN
namespace census {
namespace {

/// The kernel lists a thread for a while after it has done its last, and even after it was joined.
bool has_ended(pid_t thread) noexcept {
  constexpr unsigned long exiting = 0x4;  // PF_EXITING of the kernel, in the flags of proc(5)
  char path[64];
  std::snprintf(path, sizeof path, "/proc/self/task/%d/stat", thread);
  std::FILE* file = std::fopen(path, "re");
  if (file == nullptr) return true;
  unsigned long flags = 0;
  // The name of the thread may have any character but a line feed, and ends with the last parenthesis of the line.
  char line[512];
  const char* after_name = std::fgets(line, sizeof line, file) != nullptr ? std::strrchr(line, ')') : nullptr;
  const bool known =
      after_name != nullptr && std::sscanf(after_name, ") %*c %*d %*d %*d %*d %*d %lu", &flags) == 1;
  std::fclose(file);
  return !known || (flags & exiting) != 0;
}

constinit arch::spin_lock lock;
long members = 0;  ///< threads that use the library
long waiting = 0;  ///< of them

// Threads that do nothing any more, but are counted until the kernel is rid of them.
std::array<pid_t, 64> leaving;
std::size_t leaving_count = 0;

const arch::fork_hook at_fork(fork_level::census, arch::hold<lock>, arch::release<lock>);

struct thread_list {
  long length = 0, sum_of_ids = 0;
  friend bool operator==(const thread_list&, const thread_list&) = default;
};

/// Threads of the process that have not ended. If nobody can tell, there are many: to wait in vain is better than to
/// call a deadlock what is none.
thread_list list_threads() noexcept {
  DIR* folder = opendir("/proc/self/task");
  if (folder == nullptr) return {LONG_MAX, 0};
  const auto last_leaving = leaving.begin() + static_cast<std::ptrdiff_t>(leaving_count);
  thread_list found;
  while (const dirent* entry = readdir(folder)) {
    const auto thread = static_cast<pid_t>(std::atol(entry->d_name));
    if (thread == 0 || std::find(leaving.begin(), last_leaving, thread) != last_leaving || has_ended(thread)) continue;
    ++found.length;
    found.sum_of_ids += thread;
  }
  closedir(folder);
  return found;
}

long count_threads() noexcept {
  leaving_count = static_cast<std::size_t>(
      std::remove_if(leaving.begin(), leaving.begin() + static_cast<std::ptrdiff_t>(leaving_count), has_ended) -
      leaving.begin());
  // Whom a thread has started before it ended, behind the back of one list, is on the next.
  thread_list found = list_threads(), before;
  do {
    before = std::exchange(found, list_threads());
  } while (found != before);
  return found.length;
}

/// Those that sanitizers and emulators have started; they do nothing for the program. ThreadSanitizer's comes with the
/// second thread of the program, the others are there before it begins.
const long threads_of_others = STACKLESS_TSAN ? 1 : __libc_single_threaded ? count_threads() - 1 : 0;

/// Who but `n` threads, the caller if it is not counted as waiting, could still do something? With the lock held.
activity activity_of_all_but(long n) noexcept {
  if (__libc_single_threaded) return activity::none;
  if (members - waiting > n) return activity::of_members;
  return count_threads() - threads_of_others - waiting > n ? activity::of_strangers : activity::none;
}

}  // namespace

bool others_are_active() noexcept {
  const arch::locked hold(lock);
  return activity_of_all_but(1) != activity::none;
}

activity begin_waiting() noexcept {
  const arch::locked hold(lock);
  ++waiting;
  return activity_of_all_but(0);
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
