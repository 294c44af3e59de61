#include "arch/guard.hpp"

#include <fcntl.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdint>
#include <cstring>

#include "arch/kernel.hpp"
#include "arch/region.hpp"

#if STACKLESS_ASAN
#include <sanitizer/asan_interface.h>
#endif

STACKLESS_BEGIN
namespace arch::guard {
namespace {

// Linux 6.13; not in the C library's headers yet.
constexpr int madv_guard_install = 102;
constexpr int madv_guard_remove = 103;

enum class kind : int { unknown, page_table, mapping };

constinit std::atomic<kind> probed = kind::unknown;

kind probe() noexcept {
  kind known = probed.load(std::memory_order_relaxed);
  if (known != kind::unknown) return known;
  known = kind::mapping;
  void* scratch = mmap(nullptr, page_size(), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (scratch == MAP_FAILED) return known;
  if (madvise(scratch, page_size(), madv_guard_install) == 0 && faults(scratch)) known = kind::page_table;
  munmap(scratch, page_size());
  probed.store(known, std::memory_order_relaxed);
  return known;
}

#if !STACKLESS_ASAN
void change_access(void* begin, std::size_t bytes, int access) {
  if (mprotect(begin, bytes, access) == 0) return;
  throw memory_error(
      "memory at %p cannot be closed or opened: mprotect: %s; what is closed is a mapping, "
      "/proc/sys/vm/max_map_count is %lld: raise it",
      begin, strerrordesc_np(errno), kernel_setting("/proc/sys/vm/max_map_count"));
}
#endif

}  // namespace

std::size_t page_size() noexcept {
  return getauxval(AT_PAGESZ);
}

bool faults(const void* page) noexcept {
  // The page as a path: nothing is changed, whatever it holds.
  return syscall(SYS_faccessat, AT_FDCWD, page, F_OK) == -1 && errno == EFAULT;
}

void install(void* begin, std::size_t bytes) {
  if (extent* around = region::find(reinterpret_cast<std::uintptr_t>(begin))) around->guarded = true;
  // Locked memory (mlockall) cannot have the first kind on every kernel.
  if (probe() == kind::page_table && madvise(begin, bytes, madv_guard_install) == 0) return;
  if (mprotect(begin, bytes, PROT_NONE) != 0) {
    const int error = errno;
    if (error == ENOMEM) {
      throw memory_error(
          "no guard page at %p: %s; each guard is a mapping, /proc/sys/vm/max_map_count is %lld: raise it, "
          "or use Linux 6.13 or later",
          begin, strerrordesc_np(error), kernel_setting("/proc/sys/vm/max_map_count"));
    }
    throw memory_error("no guard page at %p: mprotect: %s", begin, strerrordesc_np(error));
  }
  if (!faults(begin))
    throw memory_error("no guard page at %p: the kernel claims success but installs none", begin);
}

bool remove(void* begin, std::size_t bytes) noexcept {
  if (probe() == kind::page_table) madvise(begin, bytes, madv_guard_remove);
  return mprotect(begin, bytes, PROT_READ | PROT_WRITE) == 0;
}

#if STACKLESS_ASAN

void close(void* begin, std::size_t bytes) { __asan_poison_memory_region(begin, bytes); }

void open(void* begin, std::size_t bytes) { __asan_unpoison_memory_region(begin, bytes); }

#else

void close(void* begin, std::size_t bytes) { change_access(begin, bytes, PROT_NONE); }

void open(void* begin, std::size_t bytes) { change_access(begin, bytes, PROT_READ | PROT_WRITE); }

#endif

}  // namespace arch::guard
STACKLESS_END
