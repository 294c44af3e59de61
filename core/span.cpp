#include "core/span.hpp"

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "arch/metadata.hpp"
#include "core/extents.hpp"

STACKLESS_BEGIN

using arch::locked;
using arch::region::failure;

namespace {

constexpr std::size_t narrow = 128;

/// memset, but quicker for the sizes that are freed most: narrow ones, multiples of 16. From both ends to the middle.
inline void clear_narrow(char* cell, std::size_t size) {
  char* const end = cell + size;
  if (size > 64) {
    std::memset(cell, 0, 64);
    std::memset(end - 64, 0, 64);
  } else if (size > 32) {
    std::memset(cell, 0, 32);
    std::memset(end - 32, 0, 32);
  } else {
    std::memset(cell, 0, 16);
    std::memset(end - 16, 0, 16);
  }
}

inline void clear(const span& of, std::uint32_t index) {
  std::memset(reinterpret_cast<void*>(of.cell(index)), 0, of.cell_size);
}

}  // namespace

void span::collect(std::uint32_t word) noexcept {
  // In one order with the stores to `owner`: see cell_pool::release_elsewhere.
  const std::uint64_t freed = __atomic_load_n(&bits[word].remote, __ATOMIC_SEQ_CST);
  if (freed == 0) return;
  set_live_bits(word, live_bits(word) & ~freed);
  __atomic_fetch_and(&bits[word].remote, ~freed, __ATOMIC_RELEASE);
  live -= static_cast<std::uint32_t>(std::popcount(freed));
  hint = std::min(hint, word);
}

void span::collect() noexcept {
  for (std::uint32_t word = 0; word * 64 < capacity; ++word) collect(word);
}

void span::recount() noexcept {
  live = 0;
  for (std::uint32_t word = 0; word * 64 < capacity; ++word) {
    live += static_cast<std::uint32_t>(std::popcount(live_bits(word)));
  }
  live -= -capacity % 64;
}

span* span::describe(span*& retired, std::uint8_t kind, std::size_t cell_size,
                     std::uint32_t capacity) noexcept {
  span* s = retired;
  if (s != nullptr) {
    // A thread that freed its last cell may still ask for `owner`: that stays as it is.
    retired = s->next;
  } else {
    const std::uint32_t words = (capacity + 63) / 64;
    void* const memory = arch::metadata::allocate(sizeof(span) + words * sizeof(cell_bits));
    if (memory == nullptr) return nullptr;
    s = new (memory) span();
    s->kind = kind;
    s->capacity = capacity;
    s->bits = reinterpret_cast<cell_bits*>(s + 1);
    if (capacity % 64 != 0) s->set_live_bits(words - 1, ~std::uint64_t{0} << (capacity % 64));
  }
  s->live = 0;
  s->hint = 0;
  s->era = arch::region::no_era;
  s->cell_size = cell_size;
  // Rounded up: exact for every offset in a run, since offset * cell_size stays below 2^64.
  s->reciprocal = ~std::uint64_t{0} / cell_size + 1;
  return s;
}

void* cell_pool::allocate() {
  failure why;
  void* const cell = try_allocate(why);
  if (cell == nullptr) why.raise();
  return cell;
}

void* cell_pool::allocate_elsewhere(failure& why) noexcept {
  const bool may_own = my_caches().may_own(cache_);
  {
    locked hold(lock_);
    if (void* const cell = try_available(may_own)) return cell;
  }
  span* const s = describe(why);
  if (s == nullptr) return nullptr;
  s->era = arch::region::era;
  if (!arch::region::try_take(*s, granules_, why)) {
    retire_descriptor(*s);
    return nullptr;
  }
  locked hold(lock_);
  return take_cell(*s, may_own);
}

bool cell_pool::release(span& of, std::uint32_t index) noexcept {
  if (!of.is_live(index)) return false;
  if (of.owner.load(std::memory_order_relaxed) != &my_caches()) return release_elsewhere(of, index);
  if (cell_size_ > narrow) return release_wide(of, index);
  clear_narrow(reinterpret_cast<char*>(of.cell(index)), cell_size_);
  return release_own(of, index) || release_elsewhere(of, index);
}

/// Apart from release, which would have to save registers for the call.
bool cell_pool::release_wide(span& of, std::uint32_t index) noexcept {
  clear(of, index);
  return release_own(of, index) || release_elsewhere(of, index);
}

/// The cell has been cleared. False if its span is not this thread's.
[[gnu::always_inline]] inline bool cell_pool::release_own(span& of, std::uint32_t index) noexcept {
  thread_caches& mine = my_caches();
  {
    const visit here(mine);
    if (!here.allowed() || of.owner.load(std::memory_order_relaxed) != &mine || of.is_home()) return false;
    of.make_dead(index);
    if (of.live != 0 || ++mine.of[cache_].owned.empty == 1) return true;
  }
  give_away(of);
  return true;
}

void cell_pool::give_away(span& surplus) noexcept {
  locked hold(lock_);
  if (surplus.owner.load(std::memory_order_relaxed) == &my_caches()) disown(surplus);
}

bool cell_pool::release_elsewhere(span& of, std::uint32_t index) noexcept {
  return of.is_owned() ? release_remotely(of, index) : release_unowned(of, index);
}

bool cell_pool::release_remotely(span& of, std::uint32_t index) noexcept {
  clear(of, index);
  if (!of.free_remotely(index)) return false;
  // If this does not see that the owner lets go of the span, then the owner sees the cell when it collects after that.
  if (of.owner.load(std::memory_order_seq_cst) != nullptr) return true;
  locked hold(lock_);
  if (!of.is_remote(index) || of.is_owned()) return true;  // it has been collected, and the span may be gone, or will be
  pick_up(of);
  of.collect(index / 64);
  put_down(of);
  return true;
}

// It is cleared with the lock held: taking the lock would have to wait until that has reached the memory.
bool cell_pool::release_unowned(span& of, std::uint32_t index) noexcept {
  thread_caches& mine = my_caches();
  const bool may_own = mine.may_own(cache_);
  locked hold(lock_);
  if (!of.is_live(index)) return false;
  clear(of, index);
  if (of.is_owned()) return of.free_remotely(index);  // by somebody who will collect it
  pick_up(of);
  of.make_dead(index);
  const bool worth_owning = of.live != 0 && !of.is_home() && of.live <= of.capacity - of.capacity / 8;
  if (worth_owning && may_own && mine.of[cache_].owned.spans < cell_cache::most_spans) {
    own(of);
  } else {
    put_down(of);
  }
  return true;
}

bool cell_pool::claim(std::uintptr_t begin, const span_shape& home) {
  const std::uintptr_t offset = begin - home.begin;
  if (home.cell_size != cell_size_ || home.size != span_size() || offset % cell_size_ != 0) return false;
  if (offset / cell_size_ >= home.size / cell_size_) return false;
  const auto index = static_cast<std::uint32_t>(offset / cell_size_);
  {
    locked hold(lock_);
    arch::extent* const there = arch::region::find(home.begin);
    const bool ours = there != nullptr && there->kind == kind_ && static_cast<span*>(there)->pool == this;
    if (ours && there->begin == home.begin) {
      span& s = *static_cast<span*>(there);
      if (s.is_live(index) || !pick_up(s)) return false;
      s.collect();
      const bool free = !s.is_live(index);
      if (free) s.make_live(index);
      put_down(s);
      return free;
    }
  }
  if (!vacate(home.begin, home.size)) return false;

  failure why;
  span* const s = describe(why);
  if (s == nullptr) why.raise();
  s->make_live(index);
  if (arch::region::try_take_at(*s, home.begin, granules_, why)) return true;
  s->make_dead(index);
  retire_descriptor(*s);
  if (why.why != failure::cause::none) why.raise();
  return false;
}

bool cell_pool::drop(span& idle) noexcept {
  locked hold(lock_);
  if (arch::region::find(idle.begin) != &idle || idle.pool != this || !pick_up(idle)) return false;
  idle.collect();
  const bool dropped = idle.live == 0;
  if (dropped) {
    retire(idle);
  } else {
    put_down(idle);
  }
  return dropped;
}

void cell_pool::take_back(cell_cache& of) noexcept {
  locked hold(lock_);
  while (of.owned.first != nullptr) disown(*of.owned.first);
}

/// Afterwards the span is nobody's and in no list. False if a thread owns it that cannot be stopped.
bool cell_pool::pick_up(span& s) noexcept {
  thread_caches* const owner = s.owner.load(std::memory_order_relaxed);
  if (owner == nullptr) {
    if (!s.is_home() && !s.is_full()) available_.leave(s);
    return true;
  }
  if (s.is_home()) {  // the owner is in the parent of a fork, and may have been amid a change
    s.owner.store(nullptr, std::memory_order_relaxed);
    s.collect();
    s.recount();
    return true;
  }
  const bool mine = owner == &my_caches();
  if (!mine && !owner->stop()) return false;
  owner->of[cache_].owned.leave(s);
  s.owner.store(nullptr, std::memory_order_seq_cst);
  if (!mine) owner->go_on();
  return true;
}

/// What was picked up goes where it belongs.
void cell_pool::put_down(span& s) noexcept {
  if (s.live == 0 && (s.is_home() || available_.empty != 0)) return retire(s);
  if (!s.is_home() && !s.is_full()) available_.enter(s);
}

/// What a thread owns is nobody's.
void cell_pool::disown(span& s) noexcept {
  pick_up(s);
  s.collect();
  put_down(s);
}

/// What was picked up, or is new, belongs to this thread.
void cell_pool::own(span& s) noexcept {
  thread_caches& mine = my_caches();
  s.owner.store(&mine, std::memory_order_relaxed);
  mine.of[cache_].pool = this;
  mine.of[cache_].owned.enter(s);
}

/// A cell of a span that there is; nullptr if all are full.
void* cell_pool::try_available(bool may_own) noexcept {
  const span_list& owned = my_caches().of[cache_].owned;
  while (owned.first != nullptr && owned.first->is_full()) disown(*owned.first);
  span* const s = owned.first != nullptr ? owned.first : available_.first;
  if (s == nullptr) return nullptr;
  pick_up(*s);
  return take_cell(*s, may_own);
}

/// A cell of what was picked up, or is new.
void* cell_pool::take_cell(span& s, bool may_own) noexcept {
  void* const cell = reinterpret_cast<void*>(s.cell(s.take()));
  if (may_own && !s.is_full()) {
    own(s);
  } else {
    put_down(s);
  }
  return cell;
}

void cell_pool::retire(span& empty) noexcept {
  arch::region::give_back(empty);
  empty.next = retired_;
  retired_ = &empty;
}

span* cell_pool::describe(failure& why) noexcept {
  locked hold(lock_);
  span* const s =
      span::describe(retired_, kind_, cell_size_, static_cast<std::uint32_t>(span_size() / cell_size_));
  if (s != nullptr) {
    s->pool = this;
  } else {
    why = {failure::cause::kernel, errno, 0, sizeof(span)};
  }
  return s;
}

void cell_pool::retire_descriptor(span& unplaced) noexcept {
  locked hold(lock_);
  unplaced.next = retired_;
  retired_ = &unplaced;
}

STACKLESS_END
