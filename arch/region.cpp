#include "arch/region.hpp"

#include <sys/mman.h>

#include <algorithm>
#include <bit>
#include <cerrno>
#include <cstring>

#include "arch/arena.hpp"
#include "arch/fork.hpp"
#include "arch/guard.hpp"
#include "arch/metadata.hpp"

STACKLESS_BEGIN
namespace arch::region {

constinit std::atomic<owners*> directory[chunk_count];
constinit std::uint32_t era = 1;

namespace {

constexpr std::size_t boundary = std::size_t{1} << 32;
constexpr std::size_t words_per_chunk = granules_per_chunk / 64;

/// Chunks are kept by the length of their longest free run: bin b holds those of 2^b to 2^(b+1) - 1 granules.
constexpr int bin_count = std::bit_width(granules_per_chunk);

struct chunk {
  owners owner;                         ///< first: the directory points here
  std::uint64_t free[words_per_chunk];  ///< a bit per granule; never set within the margins
  std::size_t index;
  std::uint32_t longest;  ///< no free run is longer than this
  std::uint32_t era;      ///< no_era: mapped for take_at
  chunk* next;
  chunk* previous;

  std::uintptr_t begin() const { return region_begin + index * chunk_size; }
  bool is_free(std::size_t granule) const { return (free[granule / 64] >> (granule % 64) & 1) != 0; }
};

constinit spin_lock region_lock;
constinit chunk* bins[bin_count] = {};
constinit bool started = false;
constinit std::size_t start_chunk = 0;
constinit std::size_t next_chunk = 0;  ///< the next to be mapped

/// The child of a fork makes a start of its own.
void start_anew() noexcept {
  ++era;
  for (chunk*& each : bins) each = nullptr;
  started = false;
}

const fork_hook at_fork(fork_level::region, hold<region_lock>, release<region_lock>, start_anew);

chunk* chunk_at(std::size_t index) {
  return reinterpret_cast<chunk*>(directory[index].load(std::memory_order_relaxed));
}

std::uintptr_t usable_begin(std::uintptr_t word) {
  return word / boundary * boundary + boundary_margin;
}
std::uintptr_t usable_end(std::uintptr_t word) {
  return word / boundary * boundary + boundary - boundary_margin;
}

int bin_of(const chunk& of) {
  return std::bit_width(of.longest) - 1;
}

void leave_bin(chunk& c) {
  if (c.era != era || c.longest == 0) return;
  (c.previous != nullptr ? c.previous->next : bins[bin_of(c)]) = c.next;
  if (c.next != nullptr) c.next->previous = c.previous;
}

void enter_bin(chunk& c) {
  if (c.era != era || c.longest == 0) return;
  chunk*& head = bins[bin_of(c)];
  c.previous = nullptr;
  c.next = head;
  if (head != nullptr) head->previous = &c;
  head = &c;
}

void set_longest(chunk& c, std::uint32_t longest) {
  leave_bin(c);
  c.longest = longest;
  enter_bin(c);
}

/// The first granule from `from` on that is free (or is not); granules_per_chunk: none.
std::size_t next_granule(const chunk& c, std::size_t from, bool free) {
  while (from < granules_per_chunk) {
    const std::uint64_t word = (free ? c.free[from / 64] : ~c.free[from / 64]) >> (from % 64);
    if (word != 0) return from + std::countr_zero(word);
    from = (from / 64 + 1) * 64;
  }
  return granules_per_chunk;
}

/// The first free run of `granules`; granules_per_chunk if there is none, and then `longest` is the longest
/// there is.
std::size_t find_run(const chunk& c, std::size_t granules, std::uint32_t& longest) {
  longest = 0;
  for (std::size_t begin = next_granule(c, 0, true); begin < granules_per_chunk;) {
    const std::size_t end = next_granule(c, begin, false);
    if (end - begin >= granules) return begin;
    longest = std::max(longest, static_cast<std::uint32_t>(end - begin));
    begin = next_granule(c, end, true);
  }
  return granules_per_chunk;
}

/// The part of [begin, end) that lies in the chunk, as granules.
struct part {
  std::size_t first;
  std::size_t last;  ///< one past

  part(const chunk& c, std::uintptr_t begin, std::uintptr_t end)
      : first((std::max(begin, c.begin()) - c.begin()) / granule_size),
        last((std::min(end, c.begin() + chunk_size) - c.begin()) / granule_size) {}
};

template <class Action>
void for_each_chunk(std::uintptr_t begin, std::uintptr_t end, Action action) {
  for (std::size_t i = (begin - region_begin) / chunk_size; i <= (end - 1 - region_begin) / chunk_size; ++i)
    action(i);
}

enum class mapping { done, occupied, refused };

mapping map_chunk(std::size_t index, std::uint32_t of_era, failure& why) {
  const std::uintptr_t begin = region_begin + index * chunk_size;
  const std::uintptr_t from = std::max(begin, usable_begin(begin));
  const std::size_t bytes = std::min(begin + chunk_size, usable_end(begin)) - from;
  void* const wanted = reinterpret_cast<void*>(from);
  void* const mapped = mmap(wanted, bytes, PROT_READ | PROT_WRITE,
                            MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED_NOREPLACE, -1, 0);
  if (mapped == MAP_FAILED) {
    if (errno == EEXIST) return mapping::occupied;
    why = {failure::cause::kernel, errno, from, bytes};
    return mapping::refused;
  }
  if (mapped != wanted) {  // kernels before 4.17 and some emulators take the flag for a hint
    munmap(mapped, bytes);
    return mapping::occupied;
  }
  void* const memory = metadata::allocate(sizeof(chunk));
  if (memory == nullptr) {
    why = {failure::cause::kernel, errno, 0, sizeof(chunk)};
    munmap(mapped, bytes);
    return mapping::refused;
  }
  auto* const c = new (memory) chunk{};
  c->index = index;
  c->era = of_era;
  const part usable(*c, from, from + bytes);
  for (std::size_t i = usable.first; i < usable.last; ++i) c->free[i / 64] |= std::uint64_t{1} << (i % 64);
  c->longest = static_cast<std::uint32_t>(usable.last - usable.first);
  enter_bin(*c);
  directory[index].store(&c->owner, std::memory_order_release);
  return mapping::done;
}

/// Maps the next chunk that can be had.
chunk* grow(failure& why) {
  for (std::size_t tried = 0; tried < chunk_count; ++tried) {
    const std::size_t index = next_chunk;
    next_chunk = (next_chunk + 1) % chunk_count;
    if (chunk_at(index) != nullptr) continue;
    const mapping result = map_chunk(index, era, why);
    if (result == mapping::done) return chunk_at(index);
    if (result == mapping::refused) return nullptr;
  }
  why = {.why = failure::cause::region_full, .bytes = chunk_size};
  return nullptr;
}

bool is_free(std::uintptr_t begin, std::uintptr_t end) {
  bool free = true;
  for_each_chunk(begin, end, [&](std::size_t index) {
    const chunk* const c = chunk_at(index);
    if (c == nullptr || !free) return;
    const part run(*c, begin, end);
    free = c->is_free(run.first) && next_granule(*c, run.first, false) >= run.last;
  });
  return free;
}

/// Maps the chunks of [begin, end) that are not mapped yet.
mapping map_all(std::uintptr_t begin, std::uintptr_t end, std::uint32_t of_era, failure& why) {
  mapping result = mapping::done;
  for_each_chunk(begin, end, [&](std::size_t index) {
    if (result == mapping::done && chunk_at(index) == nullptr) result = map_chunk(index, of_era, why);
  });
  return result;
}

void own(extent& taken, std::uintptr_t begin, std::uintptr_t end) {
  taken.begin = begin;
  taken.size = end - begin;
  taken.guarded = false;
  for_each_chunk(begin, end, [&](std::size_t index) {
    chunk& c = *chunk_at(index);
    const part run(c, begin, end);
    for (std::size_t i = run.first; i < run.last; ++i) {
      c.free[i / 64] &= ~(std::uint64_t{1} << (i % 64));
      c.owner[i].store(&taken, std::memory_order_release);
    }
    if (run.last - run.first == c.longest) {
      std::uint32_t longest;
      find_run(c, granules_per_chunk + 1, longest);
      set_longest(c, longest);
    }
  });
}

bool take_in_bins(extent& taken, std::size_t granules) {
  for (int bin = std::bit_width(granules) - 1; bin < bin_count; ++bin) {
    for (chunk *c = bins[bin], *next; c != nullptr; c = next) {
      next = c->next;
      if (c->longest < granules) continue;
      std::uint32_t longest;
      const std::size_t found = find_run(*c, granules, longest);
      if (found < granules_per_chunk) {
        const std::uintptr_t begin = c->begin() + found * granule_size;
        own(taken, begin, begin + granules * granule_size);
        return true;
      }
      set_longest(*c, longest);
    }
  }
  return false;
}

/// A run longer than a chunk: the first place from the start on where consecutive chunks are free.
bool take_chunks(extent& taken, std::size_t bytes, failure& why) {
  for (std::size_t tried = 0; tried < chunk_count; ++tried) {
    const std::size_t index = (start_chunk + tried) % chunk_count;
    if (chunk_at(index) != nullptr && chunk_at(index)->era != era) continue;
    const std::uintptr_t chunk_begin = region_begin + index * chunk_size;
    const std::uintptr_t begin = std::max(chunk_begin, usable_begin(chunk_begin));
    const std::uintptr_t end = begin + bytes;
    if (end > usable_end(begin) || end > region_end || !is_free(begin, end)) continue;
    const mapping result = map_all(begin, end, era, why);
    if (result == mapping::refused) return false;
    if (result == mapping::occupied) continue;
    own(taken, begin, end);
    return true;
  }
  why = {.why = failure::cause::region_full, .bytes = bytes};
  return false;
}

}  // namespace

bool try_take(extent& taken, std::size_t granules, failure& why) noexcept {
  if (granules > largest_run / granule_size) {
    why = {.why = failure::cause::too_large, .bytes = granules * granule_size};
    return false;
  }
  locked hold(region_lock);
  if (!started) {
    if (!arena::start(start_chunk, why)) return false;
    next_chunk = start_chunk;
    started = true;
  }
  if (granules > granules_per_chunk) return take_chunks(taken, granules * granule_size, why);
  while (!take_in_bins(taken, granules)) {
    if (grow(why) == nullptr) return false;
  }
  return true;
}

void take(extent& taken, std::size_t granules) {
  failure why;
  if (!try_take(taken, granules, why)) why.raise();
}

bool may_hold(std::uintptr_t begin, std::size_t granules) noexcept {
  if (begin % granule_size != 0 || granules == 0 || granules > largest_run / granule_size) return false;
  const std::uintptr_t end = begin + granules * granule_size;
  return contains(begin) && end <= region_end && begin >= usable_begin(begin) && end <= usable_end(begin);
}

bool try_take_at(extent& taken, std::uintptr_t begin, std::size_t granules, failure& why) noexcept {
  if (!may_hold(begin, granules)) return false;
  const std::uintptr_t end = begin + granules * granule_size;
  locked hold(region_lock);
  if (!is_free(begin, end) || map_all(begin, end, no_era, why) != mapping::done) return false;
  own(taken, begin, end);
  return true;
}

bool take_at(extent& taken, std::uintptr_t begin, std::size_t granules) {
  failure why;
  const bool done = try_take_at(taken, begin, granules, why);
  if (why.why != failure::cause::none) why.raise();
  return done;
}

void give_back(extent& taken) noexcept {
  const std::uintptr_t begin = taken.begin;
  const std::uintptr_t end = taken.end();
  // A guard that cannot be removed makes the run useless: then it keeps its place, without an owner.
  const bool usable = !taken.guarded || guard::remove(reinterpret_cast<void*>(begin), taken.size);
  if (usable) discard_pages(begin, taken.size);

  locked hold(region_lock);
  for_each_chunk(begin, end, [&](std::size_t index) {
    chunk& c = *chunk_at(index);
    const part run(c, begin, end);
    for (std::size_t i = run.first; i < run.last; ++i) c.owner[i].store(nullptr, std::memory_order_release);
    if (!usable) return;
    for (std::size_t i = run.first; i < run.last; ++i) c.free[i / 64] |= std::uint64_t{1} << (i % 64);
    std::size_t first = run.first;
    while (first > 0 && c.is_free(first - 1)) --first;
    const std::size_t last = next_granule(c, run.last, false);
    if (last - first > c.longest) set_longest(c, static_cast<std::uint32_t>(last - first));
  });
}

void discard_pages(std::uintptr_t begin, std::size_t size) noexcept {
  void* const pages = reinterpret_cast<void*>(begin);
  if (madvise(pages, size, MADV_DONTNEED) != 0) std::memset(pages, 0, size);  // locked memory
}

extent* find_first(std::uintptr_t begin, std::size_t size) noexcept {
  const std::uintptr_t from = std::max(begin, region_begin) / granule_size * granule_size;
  const std::uintptr_t end = size < region_end - std::min(begin, region_end) ? begin + size : region_end;
  for (std::uintptr_t word = from; word < end;) {
    if (extent* found = find(word)) return found;
    const bool mapped = chunk_at((word - region_begin) / chunk_size) != nullptr;
    word = mapped ? word + granule_size : word / chunk_size * chunk_size + chunk_size;
  }
  return nullptr;
}

}  // namespace arch::region
STACKLESS_END
