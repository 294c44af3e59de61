#include "core/slot.hpp"

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
/// With 1,000 stacks touched in turn, 1.0 ns each instead of 3.5.
constexpr std::size_t colours = 16;

constexpr std::size_t granules = slots::size / arch::granule_size;

/// Idle slots that keep their pages.
constexpr std::size_t warm_limit = 256;

constinit arch::spin_lock pool_lock;
constinit slot* warm = nullptr;
constinit slot* cold = nullptr;
constinit std::size_t warm_count = 0;
constinit arch::metadata::object_pool<slot> descriptors;
const arch::fork_hook at_fork(fork_level::memory, arch::hold<pool_lock>, arch::release<pool_lock>);

slot*& list_of(const slot& s) {
  return s.now == slot::state::warm ? warm : cold;
}

void enter_pool(slot& s, slot::state now) {
  s.now = now;
  if (now == slot::state::warm) ++warm_count;
  slot*& head = list_of(s);
  s.previous_free = nullptr;
  s.next_free = head;
  if (head != nullptr) head->previous_free = &s;
  head = &s;
}

void leave_pool(slot& s) {
  (s.previous_free != nullptr ? s.previous_free->next_free : list_of(s)) = s.next_free;
  if (s.next_free != nullptr) s.next_free->previous_free = s.previous_free;
  if (s.now == slot::state::warm) --warm_count;
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

slot* describe() {
  slot* s;
  {
    locked hold(pool_lock);
    s = descriptors.create();
  }
  if (s == nullptr) failure{failure::cause::kernel, errno, 0, sizeof(slot)}.raise();
  s->kind = extent_kind::slot;
  return s;
}

void forget(slot* s) {
  locked hold(pool_lock);
  descriptors.destroy(s);
}

slot* guarded(slot* s) {
  try {
    arch::guard::install(reinterpret_cast<void*>(s->begin));
  } catch (...) {
    arch::region::give_back(*s);
    forget(s);
    throw;
  }
  return ready(s);
}

}  // namespace

std::uintptr_t slot::floor() const {
  return begin + arch::guard::size();
}

std::uintptr_t slot::top() const {
  const std::size_t index = begin / slots::size;
  const std::size_t line = first_line + index % (page / cache_line - first_line);
  return end() - index % colours * page - line * cache_line;
}

namespace slots {

slot* acquire() {
  {
    locked hold(pool_lock);
    while (slot* const s = warm != nullptr ? warm : cold) {
      leave_pool(*s);
      if (s->era == arch::region::era) return ready(s);
      dissolve(*s);
    }
  }
  slot* const s = describe();
  s->era = arch::region::era;
  failure why;
  if (!arch::region::try_take(*s, granules, why)) {
    forget(s);
    why.raise();
  }
  return guarded(s);
}

slot* acquire_at(std::uintptr_t begin) {
  {
    locked hold(pool_lock);
    arch::extent* const there = arch::region::find(begin);
    if (there != nullptr && there->kind == extent_kind::slot && there->begin == begin) {
      slot* const s = static_cast<slot*>(there);
      if (s->now == slot::state::used) return nullptr;
      leave_pool(*s);
      return ready(s);
    }
  }
  if (!vacate(begin, size)) return nullptr;
  slot* const s = describe();
  failure why;
  if (arch::region::try_take_at(*s, begin, granules, why)) return guarded(s);
  forget(s);
  if (why.why != failure::cause::none) why.raise();
  return nullptr;
}

void release(slot* idle) noexcept {
  idle->user = nullptr;
  idle->home = nullptr;
  idle->retired = false;
  locked hold(pool_lock);
  if (idle->era != arch::region::era) return dissolve(*idle);
  if (warm_count < warm_limit) return enter_pool(*idle, slot::state::warm);
  arch::region::discard_pages(idle->floor(), idle->end() - idle->floor());
  enter_pool(*idle, slot::state::cold);
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
