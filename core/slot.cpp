#include "core/slot.hpp"

#include <algorithm>
#include <bit>
#include <cerrno>

#include "arch/guard.hpp"
#include "arch/lock.hpp"
#include "arch/metadata.hpp"
#include "core/fork_level.hpp"
#include "core/span.hpp"

#if STACKLESS_ASAN
#include <sanitizer/asan_interface.h>
#endif

STACKLESS_BEGIN

using arch::locked;
using arch::region::failure;

namespace {

constexpr std::size_t cache_line = 64;
constexpr std::size_t first_line = 4;
constexpr std::size_t page = 4096;

/// Neighbours' hot ends lie in different pages of their slots too: translations compete for sets as lines do.
/// With 1,000 stacks touched in turn, 1.0 ns each instead of 3.5. Small slots have as many fewer colours as they are
/// smaller, and neighbours that fill one of those with all have the same: their pages are in different sets anyway.
constexpr std::size_t most_colours = 16;
constexpr unsigned first_with_all = 2;

std::size_t colours_of(unsigned size_class) {
  return most_colours >> (first_with_all - std::min(size_class, first_with_all));
}

constexpr std::size_t largest_guard = std::size_t{64} << 10;

std::size_t guard_of(std::size_t size) {
  return std::max(std::min(size / 8, largest_guard), arch::guard::page_size());
}

/// The idle slots of one size.
struct pool {
  /// Those that keep their pages, together.
  static constexpr std::size_t largest_warm = std::size_t{64} << 20;

  slot* warm = nullptr;
  slot* cold = nullptr;
  std::size_t warm_bytes = 0;

  bool takes_warm(const slot& s) const { return warm_bytes + s.size <= largest_warm; }
};

constinit arch::spin_lock pool_lock;
constinit pool pools[slots::size_classes];
constinit arch::metadata::object_pool<slot> descriptors;
const arch::fork_hook at_fork(fork_level::memory, arch::hold<pool_lock>, arch::release<pool_lock>);

pool& pool_of(const slot& s) {
  return pools[s.size_class];
}

slot*& list_of(const slot& s) {
  pool& p = pool_of(s);
  return s.now == slot::state::warm ? p.warm : p.cold;
}

void enter_pool(slot& s, slot::state now) {
  s.now = now;
  if (now == slot::state::warm) pool_of(s).warm_bytes += s.size;
  slot*& head = list_of(s);
  s.previous_free = nullptr;
  s.next_free = head;
  if (head != nullptr) head->previous_free = &s;
  head = &s;
}

void leave_pool(slot& s) {
  (s.previous_free != nullptr ? s.previous_free->next_free : list_of(s)) = s.next_free;
  if (s.next_free != nullptr) s.next_free->previous_free = s.previous_free;
  if (s.now == slot::state::warm) pool_of(s).warm_bytes -= s.size;
  s.now = slot::state::used;
}

void dissolve(slot& s) {
  arch::region::give_back(s);
  descriptors.destroy(&s);
}

slot* ready(slot* s) {
#if STACKLESS_ASAN
  __asan_unpoison_memory_region(reinterpret_cast<void*>(s->floor()), s->end() - s->floor());
#endif
  return s;
}

slot* describe(unsigned size_class) {
  slot* s;
  {
    locked hold(pool_lock);
    s = descriptors.create();
  }
  if (s == nullptr) failure{failure::cause::kernel, errno, 0, sizeof(slot)}.raise();
  s->kind = extent_kind::slot;
  s->size_class = size_class;
  return s;
}

std::byte* inside(const slot& s) { return reinterpret_cast<std::byte*>(s.floor()); }

std::size_t bytes_inside(const slot& s) { return s.end() - s.floor(); }

/// Somebody looks into a slot that may be closed.
class glimpse {
 public:
  explicit glimpse(const slot& s) : of_(s) {
    if (of_.closed) arch::guard::open(inside(of_), bytes_inside(of_));
  }
  ~glimpse() {
    if (of_.closed) arch::guard::close(inside(of_), bytes_inside(of_));
  }
  glimpse(const glimpse&) = delete;
  glimpse& operator=(const glimpse&) = delete;

 private:
  const slot& of_;
};

void forget(slot* s) {
  locked hold(pool_lock);
  descriptors.destroy(s);
}

std::uintptr_t top_of(const slot& s) {
  const std::size_t index = s.begin / slots::smallest;
  const std::size_t line = first_line + (index >> s.size_class) % (page / cache_line - first_line);
  const std::size_t colour = index >> std::max(s.size_class, first_with_all) & (colours_of(s.size_class) - 1);
  return s.end() - colour * page - line * cache_line;
}

slot* guarded(slot* s) {
  try {
    arch::guard::install(reinterpret_cast<void*>(s->begin), guard_of(s->size));
  } catch (...) {
    arch::region::give_back(*s);
    forget(s);
    throw;
  }
  s->top_ = top_of(*s);
  return ready(s);
}

}  // namespace

std::uintptr_t slot::floor() const {
  return begin + guard_of(size);
}

// What sanitizers keep on a stack is part of what it takes.
__attribute__((no_sanitize("address", "thread"))) std::size_t slot::high_water() const {
  const glimpse into(*this);
  const auto* word = reinterpret_cast<const std::uintptr_t*>(floor());
  const auto* const end = reinterpret_cast<const std::uintptr_t*>(top());
  while (word != end && *word == 0) ++word;
  const auto used = static_cast<std::size_t>(end - word) * sizeof *word;
  return std::min((used + page - 1) / page * page, room());
}

namespace slots {

std::optional<unsigned> class_of(std::size_t size) noexcept {
  if (!std::has_single_bit(size) || size < smallest || size > size_of(size_classes - 1)) return std::nullopt;
  return std::countr_zero(size / smallest);
}

std::size_t least_room(unsigned size_class) noexcept {
  const std::size_t size = size_of(size_class);
  const std::size_t taken = guard_of(size) + colours_of(size_class) * page;
  return size - std::min(size, taken);
}

slot* acquire(unsigned size_class) {
  {
    locked hold(pool_lock);
    const pool& p = pools[size_class];
    while (slot* const s = p.warm != nullptr ? p.warm : p.cold) {
      leave_pool(*s);
      if (s->era == arch::region::era) return ready(s);
      dissolve(*s);
    }
  }
  slot* const s = describe(size_class);
  s->era = arch::region::era;
  failure why;
  if (!arch::region::try_take(*s, size_of(size_class) / arch::granule_size, why)) {
    forget(s);
    why.raise();
  }
  return guarded(s);
}

slot* acquire_at(std::uintptr_t begin, unsigned size_class) {
  const std::size_t size = size_of(size_class);
  {
    locked hold(pool_lock);
    arch::extent* const there = arch::region::find(begin);
    if (there != nullptr && there->kind == extent_kind::slot && there->begin == begin && there->size == size) {
      slot* const s = static_cast<slot*>(there);
      if (s->now == slot::state::used) return nullptr;
      leave_pool(*s);
      return ready(s);
    }
  }
  if (!vacate(begin, size)) return nullptr;
  slot* const s = describe(size_class);
  failure why;
  if (arch::region::try_take_at(*s, begin, size / arch::granule_size, why)) return guarded(s);
  forget(s);
  if (why.why != failure::cause::none) why.raise();
  return nullptr;
}

void release(slot* idle) noexcept {
  idle->user = nullptr;
  idle->home = nullptr;
  idle->retired = false;
  idle->sole_tenant = nullptr;
  if (idle->closed) open(*idle);
  locked hold(pool_lock);
  if (idle->era != arch::region::era) return dissolve(*idle);
  if (pool_of(*idle).takes_warm(*idle)) return enter_pool(*idle, slot::state::warm);
  clear(*idle);
  enter_pool(*idle, slot::state::cold);
}

void close(slot& s) {
  arch::guard::close(inside(s), bytes_inside(s));
  s.closed = true;
}

void open(slot& s) {
  arch::guard::open(inside(s), bytes_inside(s));
  s.closed = false;
}

void clear(const slot& s) noexcept {
  arch::region::discard_pages(s.floor(), s.end() - s.floor());
}

bool drop(slot& idle) noexcept {
  locked hold(pool_lock);
  if (arch::region::find(idle.begin) != &idle || idle.now == slot::state::used) return false;
  leave_pool(idle);
  dissolve(idle);
  return true;
}

}  // namespace slots

bool vacate(std::uintptr_t begin, std::size_t size) noexcept {
  const std::size_t wanted = size / arch::granule_size + (size % arch::granule_size != 0);
  if (!arch::region::may_hold(begin, wanted)) return false;
  while (arch::extent* const there = arch::region::find_first(begin, size)) {
    if (there->kind == extent_kind::slot) {
      if (!slots::drop(*static_cast<slot*>(there))) return false;
    } else {
      span& s = *static_cast<span*>(there);
      if (s.pool == nullptr || !s.pool->drop(s)) return false;
    }
  }
  return true;
}

STACKLESS_END
