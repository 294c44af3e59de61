#include "arch/metadata.hpp"

#include <sys/mman.h>

#include <cstdint>

#include "arch/fork.hpp"

STACKLESS_BEGIN
namespace arch::metadata {
namespace {

constexpr std::size_t block_size = std::size_t{1} << 20;
constexpr std::size_t alignment = 16;

constinit spin_lock block_lock;
constinit fork_hook hook = {.lock = block_lock, .in_child = nullptr};
constinit std::uintptr_t next = 0;
constinit std::uintptr_t end = 0;

std::uintptr_t map(std::size_t bytes) noexcept {
  void* mapped =
      mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  return mapped == MAP_FAILED ? 0 : reinterpret_cast<std::uintptr_t>(mapped);
}

}  // namespace

void* allocate(std::size_t bytes) noexcept {
  bytes = (bytes + alignment - 1) / alignment * alignment;
  locked hold(block_lock);
  if (bytes > end - next) {
    if (bytes > block_size / 4) return reinterpret_cast<void*>(map(bytes));
    const std::uintptr_t block = map(block_size);
    if (block == 0) return nullptr;
    next = block;
    end = block + block_size;
  }
  const std::uintptr_t taken = next;
  next += bytes;
  return reinterpret_cast<void*>(taken);
}

void prepare_fork() noexcept {
  hold_across_fork(hook);
}

}  // namespace arch::metadata
STACKLESS_END
