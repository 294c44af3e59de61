#include "core/sharing.hpp"

#include <sched.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <string>
#include <utility>

#include <stackless/error.hpp>

#include "arch/fence.hpp"
#include "core/fork_level.hpp"
#include "core/slice.hpp"

STACKLESS_BEGIN
namespace detail {
namespace {

constexpr std::size_t lock_count = 256;

struct alignas(64) padded_lock {
  arch::spin_lock lock;
};
constinit std::array<padded_lock, lock_count> locks;

const arch::fork_hook at_fork(
    fork_level::channel,
    []() noexcept {
      for (padded_lock& each : locks) each.lock.lock();
    },
    []() noexcept {
      for (padded_lock& each : locks) each.lock.unlock();
    });

}  // namespace

arch::spin_lock& lock_of(const void* channel) noexcept {
  // Neighbours differ in the bits above the alignment, channels of different blocks in those above.
  const auto address = reinterpret_cast<std::uintptr_t>(channel);
  return locks[(address >> 4 ^ address >> 12) % lock_count].lock;
}

void holding::hold_unused_or_shared(const channel_base& c, const scheduler& s) {
  if (c.used_by_ == channel_base::nobody && slices::hold(&c)) {
    throw state_error("a channel, mutex or event is on a sliced stack, where others would find another tasklet's variables: "
                      "make it a global or a block of stackless::heap, or give the tasklet a stack of its own");
  }
  std::uintptr_t user = channel_base::nobody;
  c.used_by_.compare_exchange_strong(user, reinterpret_cast<std::uintptr_t>(&s), std::memory_order_acquire);
  if (user == channel_base::nobody && mark(c, s)) return;
  arch::spin_lock& lock = lock_of(&c);
  lock.lock();
  lock_ = &lock;
  if (c.used_by_.load(std::memory_order_relaxed) == channel_base::several) return;
  if (!arch::fence_all_threads()) {
    const int why = errno;
    release();
    throw error("threads cannot share a channel here, the kernel refuses membarrier(2): " +
                std::string(std::strerror(why)) + "; allow it, or keep each channel to one thread");
  }
  c.used_by_.store(channel_base::several, std::memory_order_relaxed);
  arch::fence_all_threads();  // which it does not refuse any more
  const auto in_use = [&] {
    const std::int32_t mark = c.mark_.acquire();
    return mark == channel_base::in_hand || mark == c.gauge_.acquire();
  };
  while (in_use()) sched_yield();
}

void holding::unlock() noexcept { static_cast<arch::spin_lock*>(std::exchange(lock_, nullptr))->unlock(); }

}  // namespace detail
STACKLESS_END
