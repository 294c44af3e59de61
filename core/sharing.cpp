#include "core/sharing.hpp"

#include <linux/membarrier.h>
#include <sched.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <string>
#include <utility>

#include <stackless/error.hpp>

STACKLESS_BEGIN
namespace detail {
namespace {

constexpr std::size_t lock_count = 256;

struct alignas(64) padded_lock {
  arch::spin_lock lock;
};
constinit std::array<padded_lock, lock_count> locks;

long membarrier(int command) { return syscall(SYS_membarrier, command, 0u, 0); }

/// All running threads of the process execute a full barrier.
void barrier_for_all() {
  if (membarrier(MEMBARRIER_CMD_PRIVATE_EXPEDITED) == 0) return;
  // A process that has not said before that it will do this is refused.
  if (membarrier(MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED) == 0 && membarrier(MEMBARRIER_CMD_PRIVATE_EXPEDITED) == 0) {
    return;
  }
  throw error("threads cannot share a channel here, the kernel refuses membarrier(2): " +
              std::string(std::strerror(errno)) + "; allow it, or keep each channel to one thread");
}

}  // namespace

arch::spin_lock& lock_of(const void* channel) noexcept {
  // Neighbours differ in the bits above the alignment, channels of different blocks in those above.
  const auto address = reinterpret_cast<std::uintptr_t>(channel);
  return locks[(address >> 4 ^ address >> 12) % lock_count].lock;
}

void holding::hold_unused_or_shared(const channel_base& c, const scheduler& s) {
  std::uintptr_t user = channel_base::nobody;
  c.used_by_.compare_exchange_strong(user, reinterpret_cast<std::uintptr_t>(&s), std::memory_order_acquire);
  if (user == channel_base::nobody && mark(c, s)) return;
  arch::spin_lock& lock = lock_of(&c);
  lock.lock();
  lock_ = &lock;
  if (c.used_by_.load(std::memory_order_relaxed) == channel_base::several) return;
  try {
    barrier_for_all();  // if it is refused, nothing has been changed
  } catch (...) {
    release();
    throw;
  }
  c.used_by_.store(channel_base::several, std::memory_order_relaxed);
  barrier_for_all();
  const auto in_use = [&] {
    const std::int32_t mark = c.mark_.acquire();
    return mark == channel_base::in_hand || mark == c.gauge_.acquire();
  };
  while (in_use()) sched_yield();
}

void holding::unlock() noexcept { static_cast<arch::spin_lock*>(std::exchange(lock_, nullptr))->unlock(); }

}  // namespace detail
STACKLESS_END
