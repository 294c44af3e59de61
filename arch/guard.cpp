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

}  // namespace arch::guard
STACKLESS_END
