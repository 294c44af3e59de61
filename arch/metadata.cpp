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
const fork_hook at_fork(fork_level::metadata, hold<block_lock>, release<block_lock>);
constinit std::uintptr_t next = 0;
constinit std::uintptr_t end = 0;

/// Begins every mapping.
struct alignas(alignment) mapping {
  mapping* before;
  std::size_t bytes;
};
constinit mapping* newest = nullptr;

/// `bytes` of a new mapping; 0, with errno set, if the kernel refuses.
std::uintptr_t map(std::size_t bytes) noexcept {
  bytes += sizeof(mapping);
  void* const mapped =
      mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (mapped == MAP_FAILED) return 0;
  newest = new (mapped) mapping{newest, bytes};
  return reinterpret_cast<std::uintptr_t>(newest + 1);
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

bool contains(std::uintptr_t word) noexcept {
  locked hold(block_lock);
  for (const mapping* m = newest; m != nullptr; m = m->before) {
    if (word - reinterpret_cast<std::uintptr_t>(m) < m->bytes) return true;
  }
  return false;
}

}  // namespace arch::metadata
STACKLESS_END
