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

/// memset, but quicker for the sizes that are freed most.
inline void clear(std::uintptr_t cell, std::size_t size) {
  if (size > 128) {
    std::memset(reinterpret_cast<void*>(cell), 0, size);
    return;
  }
  for (const std::uintptr_t end = cell + size; cell != end; cell += 16) {
    std::memset(reinterpret_cast<void*>(cell), 0, 16);
    asm("" : "+r"(cell));  // or the compiler makes one call of it
  }
}

}  // namespace

span* span::describe(span*& retired, std::uint8_t kind, std::size_t cell_size,
                     std::uint32_t capacity) noexcept {
  const std::size_t words = (capacity + 63) / 64;
  span* s = retired;
  std::uint64_t* bits;
  if (s != nullptr) {
    retired = s->next;
    bits = s->bits;
  } else {
    void* const memory = arch::metadata::allocate(sizeof(span) + words * sizeof(std::uint64_t));
    if (memory == nullptr) return nullptr;
    s = new (memory) span();
    bits = reinterpret_cast<std::uint64_t*>(s + 1);
  }
  *s = span();
  s->kind = kind;
  s->capacity = capacity;
  s->cell_size = cell_size;
  // Rounded up: exact for every offset in a run, since offset * cell_size stays below 2^64.
  s->reciprocal = ~std::uint64_t{0} / cell_size + 1;
  s->bits = bits;
  if (capacity % 64 != 0) bits[words - 1] = ~std::uint64_t{0} << (capacity % 64);
  return s;
}

void* cell_pool::allocate() {
  failure why;
  void* const cell = try_allocate(why);
  if (cell == nullptr) why.raise();
  return cell;
}

void* cell_pool::allocate_in_new_span(failure& why) noexcept {
  span* const s = describe(why);
  if (s == nullptr) return nullptr;
  s->era = arch::region::era;
  if (!arch::region::try_take(*s, granules_, why)) {
    retire_descriptor(*s);
    return nullptr;
  }
  arch::hold_across_fork(hook_);
  locked hold(lock_);
  ++empty_;
  enter_available(*s);
  return take_cell(*s);
}

bool cell_pool::release(span& of, std::uint32_t index) noexcept {
  locked hold(lock_);
  if (!of.is_live(index)) return false;
  clear(of.cell(index), cell_size_);
  of.flip(index);
  of.hint = std::min(of.hint, index / 64);
  if (of.live-- == of.capacity && !of.is_home()) enter_available(of);
  if (of.live == 0) {
    if (of.is_home()) {
      retire(of);
    } else if (++empty_ > 1) {
      --empty_;
      leave_available(of);
      retire(of);
    }
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
    if (there != nullptr && there->kind == kind_ && there->begin == home.begin) {
      span& s = *static_cast<span*>(there);
      if (s.pool != this || s.is_live(index)) return false;
      make_live(s, index);
      return true;
    }
  }
  if (!vacate(home.begin, home.size)) return false;

  failure why;
  span* const s = describe(why);
  if (s == nullptr) why.raise();
  s->live = 1;
  s->flip(index);
  if (arch::region::try_take_at(*s, home.begin, granules_, why)) return true;
  s->flip(index);
  retire_descriptor(*s);
  if (why.why != failure::cause::none) why.raise();
  return false;
}

bool cell_pool::drop(span& idle) noexcept {
  locked hold(lock_);
  if (arch::region::find(idle.begin) != &idle || idle.pool != this || idle.live != 0) return false;
  if (!idle.is_home()) {
    --empty_;
    leave_available(idle);
  }
  retire(idle);
  return true;
}

void cell_pool::forget_available(void* pool) noexcept {
  auto* const self = static_cast<cell_pool*>(pool);
  self->available_ = nullptr;
  self->empty_ = 0;
}

void cell_pool::enter_available(span& s) noexcept {
  s.previous = nullptr;
  s.next = available_;
  if (available_ != nullptr) available_->previous = &s;
  available_ = &s;
}

void cell_pool::leave_available(span& s) noexcept {
  (s.previous != nullptr ? s.previous->next : available_) = s.next;
  if (s.next != nullptr) s.next->previous = s.previous;
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
