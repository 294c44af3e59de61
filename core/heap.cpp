#include "core/heap.hpp"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <new>
#include <utility>

#include "core/extents.hpp"
#include "core/fork_level.hpp"

STACKLESS_BEGIN
namespace heap {
namespace {

using arch::granule_size;
using arch::region::failure;

// Cells of 16, 32, ... 128 bytes, then four sizes for each power of two.
constexpr std::size_t unit = 16;
constexpr std::size_t largest_cell = std::size_t{32} << 10;
constexpr std::size_t class_count = 40;

constexpr std::size_t class_size(std::size_t index) {
  return index < 8 ? (index + 1) * unit : (unit * 2) * (5 + index % 4) << (index / 4 - 2);
}
static_assert(class_size(7) == 128 && class_size(8) == 160 && class_size(12) == 320);
static_assert(class_size(class_count - 1) == largest_cell);
static_assert(cache_index::heap + class_count == cache_index::records);

/// Spans long enough that the tail, which is no cell, stays small.
constexpr std::size_t class_granules(std::size_t index) {
  const std::size_t size = class_size(index);
  return size <= granule_size / 16 ? 1 : size <= granule_size / 8 ? 2 : 4;
}

/// The class for a number of units.
constexpr auto class_of = [] {
  std::array<std::uint8_t, largest_cell / unit + 1> table{};
  std::uint8_t index = 0;
  for (std::size_t units = 0; units < table.size(); ++units) {
    while (class_size(index) < units * unit) ++index;
    table[units] = index;
  }
  return table;
}();

struct all_pools {
  cell_pool of[class_count];
};

template <std::size_t... Index>
constexpr all_pools make_pools(std::index_sequence<Index...>) {
  return {{cell_pool(extent_kind::heap, class_size(Index), class_granules(Index),
                     static_cast<std::uint8_t>(cache_index::heap + Index))...}};
}

constinit all_pools pools = make_pools(std::make_index_sequence<class_count>());

// Large blocks: spans of one cell.
constinit arch::spin_lock large_lock;
constinit span* large_retired = nullptr;

const arch::fork_hook at_fork(
    fork_level::memory,
    []() noexcept {
      for (cell_pool& each : pools.of) each.lock().lock();
      large_lock.lock();
    },
    []() noexcept {
      for (cell_pool& each : pools.of) each.lock().unlock();
      large_lock.unlock();
    },
    []() noexcept {
      for (cell_pool& each : pools.of) each.forget_available();
    });

span* describe_large(std::size_t size, failure& why) noexcept {
  arch::locked hold(large_lock);
  span* const s = span::describe(large_retired, extent_kind::heap, size, 1);
  if (s == nullptr) {
    why = {failure::cause::kernel, errno, 0, sizeof(span)};
    return nullptr;
  }
  s->make_live(0);
  return s;
}

void retire_large(span& s) noexcept {
  s.make_dead(0);
  s.next = large_retired;
  large_retired = &s;
}

void* allocate_large(std::size_t bytes, failure& why) noexcept {
  if (bytes >= arch::largest_run) {
    why = {.why = failure::cause::too_large, .bytes = bytes};
    return nullptr;
  }
  const std::size_t granules = bytes / granule_size + 1;
  span* const s = describe_large(granules * granule_size, why);
  if (s == nullptr) return nullptr;
  if (arch::region::try_take(*s, granules, why)) return reinterpret_cast<void*>(s->begin);
  arch::locked hold(large_lock);
  retire_large(*s);
  return nullptr;
}

bool release_large(span& s) noexcept {
  arch::locked hold(large_lock);
  if (!s.is_live(0)) return false;
  arch::region::give_back(s);
  retire_large(s);
  return true;
}

bool claim_large(std::uintptr_t begin, const span_shape& home) {
  if (begin != home.begin || home.size % granule_size != 0 || home.size == 0) return false;
  if (!vacate(home.begin, home.size)) return false;
  failure why;
  if (span* const s = describe_large(home.size, why)) {
    if (arch::region::try_take_at(*s, begin, home.size / granule_size, why)) return true;
    arch::locked hold(large_lock);
    retire_large(*s);
  }
  if (why.why != failure::cause::none) why.raise();
  return false;
}

inline span* span_of(std::uintptr_t word) noexcept {
  arch::extent* const found = arch::region::find(word);
  return found != nullptr && found->kind == extent_kind::heap ? static_cast<span*>(found) : nullptr;
}

[[noreturn, gnu::cold]] void reject(std::uintptr_t address) noexcept {
  char text[240];
  int length = std::snprintf(text, sizeof text, "stackless: heap: %#zx was given back, but ", address);
  char* const rest = text + length;
  const std::size_t room = sizeof text - static_cast<std::size_t>(length);
  const span* const s = span_of(address);
  if (s == nullptr) {
    const bool ours = arch::region::find(address) != nullptr;
    length += std::snprintf(rest, room, "%s\n",
                            ours ? "it lies in a stack or a tasklet's record" : "it is no block of the heap");
  } else if (const std::uint32_t index = s->index_of(address); !s->is_live(index)) {
    length += std::snprintf(rest, room, "no block is live there (cells of %zu bytes): given back twice?\n",
                            s->cell_size);
  } else {
    length += std::snprintf(rest, room, "it lies %zu bytes into the block at %#zx (a cell of %zu bytes)\n",
                            address - s->cell(index), s->cell(index), s->cell_size);
  }
  [[maybe_unused]] const ssize_t written = write(STDERR_FILENO, text, static_cast<std::size_t>(length));
  std::abort();
}

class resource final : public std::pmr::memory_resource {
  void* do_allocate(std::size_t bytes, std::size_t alignment) override {
    return heap::allocate(bytes, alignment);
  }
  void do_deallocate(void* block, std::size_t, std::size_t) override { heap::deallocate(block); }
  bool do_is_equal(const std::pmr::memory_resource& other) const noexcept override { return this == &other; }
};

// There before anybody asks for it, because containers that come back from a snapshot point to it; never destroyed.
union immortal {
  resource only;
  constexpr immortal() : only() {}
  ~immortal() {}
};
constinit immortal instance;

}  // namespace

void* try_allocate(std::size_t bytes, std::size_t alignment, failure& why) noexcept {
  const std::size_t units = bytes / unit + 1;  // more than was asked for: one past the end stays in the cell
  if (units < class_of.size()) [[likely]] {
    std::size_t index = class_of[units];
    if (alignment <= unit) [[likely]]
      return pools.of[index].try_allocate(why);
    while (index < class_count && class_size(index) % alignment != 0) ++index;
    if (index < class_count) return pools.of[index].try_allocate(why);
  }
  if (alignment > granule_size) {
    why = {.why = failure::cause::too_aligned, .bytes = alignment};
    return nullptr;
  }
  return allocate_large(bytes, why);
}

void* allocate(std::size_t bytes, std::size_t alignment) {
  if (const std::size_t units = bytes / unit + 1; units < class_of.size() && alignment <= unit) [[likely]] {
    if (void* const cell = pools.of[class_of[units]].try_own()) [[likely]]
      return cell;
  }
  failure why;
  void* const block = try_allocate(bytes, alignment, why);
  if (block == nullptr) why.raise();
  return block;
}

void deallocate(void* block) noexcept {
  if (block == nullptr) return;
  const auto address = reinterpret_cast<std::uintptr_t>(block);
  span* const s = span_of(address);
  if (s == nullptr) reject(address);
  const std::uint32_t index = s->index_of(address);
  if (s->cell(index) != address) reject(address);
  const bool was_live = s->pool != nullptr ? s->pool->release(*s, index) : release_large(*s);
  if (!was_live) reject(address);
}

std::size_t usable_size(const void* block) noexcept {
  const heap::block found = find(reinterpret_cast<std::uintptr_t>(block));
  return found ? found.size - 1 : 0;
}

std::pmr::memory_resource* memory_resource() noexcept {
  return &instance.only;
}

block find(std::uintptr_t word) noexcept {
  const span* const s = span_of(word);
  if (s == nullptr) return {};
  const std::uint32_t index = s->index_of(word);
  if (!s->is_live(index)) return {};
  return {s->cell(index), s->cell_size, s};
}

bool claim(std::uintptr_t begin, const span_shape& home) {
  if (home.cell_size <= largest_cell) {
    if (home.cell_size == 0) return false;
    cell_pool& pool = pools.of[class_of[(home.cell_size + unit - 1) / unit]];
    return pool.claim(begin, home);
  }
  return home.cell_size == home.size && claim_large(begin, home);
}

}  // namespace heap
STACKLESS_END
