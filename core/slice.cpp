#include "core/slice.hpp"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <new>
#include <utility>
#include <vector>

#include "arch/frames.hpp"
#include "core/heap.hpp"
#include "core/hooks.hpp"
#include "core/inbox.hpp"
#include "core/options.hpp"
#include "core/scheduler.hpp"
#include "core/slot.hpp"

STACKLESS_BEGIN
namespace detail {

/// What a thread has for its sliced tasklets.
struct slicer {
  /// Somebody is visited who shares the slot with the visitor.
  struct visit {
    arch::context landing;  // first: whoever switches to it is led to the visit
    record* host;
    record* guest;
    slices::visitor f;
    void* argument;
    bool result;
  };

  /// Somebody who leaves a strict slot gives way.
  struct departure {
    arch::context landing;  // first: whoever switches to it is led to the departure
    record* from;
    record* to;
  };

  explicit slicer(arch::detour come_back) : way_back(detour_by(come_back)) {}

  arch::context detour_by(arch::detour d) const {
    return arch::detoured_context(reinterpret_cast<void*>(landing->top()), d);
  }

  slot* const landing = slots::acquire(0);  ///< the stack on which slices are moved
  const arch::context way_back;             ///< of all who are away
  std::vector<slot*> shared = std::vector<slot*>(shared_slots().count);  ///< given in turn to those who settle
  std::size_t next = 0;
  unsigned size_class = ordinary_size_class;
  bool strict = false;  ///< those who settle share none
  visit visiting{};
  departure leaving{};
};

}  // namespace detail

namespace slices {
namespace {

using detail::record;
using detail::scheduler;
using detail::slice;
using detail::slicer;

[[noreturn]] void refuse_to_lose(std::size_t size) noexcept {
  std::fprintf(stderr,
               "stackless: error: out of memory for a sliced stack of %zu bytes that has to leave its slot: the tasklet "
               "would be lost\n",
               size);
  std::abort();
}

/// The block that it had last, if that fits, or another.
slice* block_for(record* r, std::uint32_t size) noexcept {
  slice* block = r->away;
  if (block != nullptr) {
    if (size <= block->room && block->room / 2 <= size) return block;
    heap::deallocate(block);
  }
  arch::region::failure why;
  void* const memory = heap::try_allocate(sizeof(slice) + arch::size_of_copy(size), alignof(slice), why);
  if (memory == nullptr) refuse_to_lose(size);
  block = new (memory) slice;
  block->room = size;
  return r->away = block;
}

bool is_strict(const slot& s) noexcept { return s.sole_tenant != nullptr; }

bool is_away(const record* r) noexcept { return arch::is_detoured(r->context); }

std::byte* stack_pointer(const record* r) { return static_cast<std::byte*>(r->context.sp); }

std::uint32_t size_in_place(const record* r) {
  return static_cast<std::uint32_t>(r->stack->top() - reinterpret_cast<std::uintptr_t>(r->context.sp));
}

void move_away(const slicer& mine, record* r) noexcept {
  slot& place = *r->stack;
  place.user = nullptr;
  if (!r->alive()) return;
  const std::uint32_t size = size_in_place(r);
  slice* const to = block_for(r, size);
  // Word by word, as the switch has just stored them: a wider load would wait until they are in the cache.
  to->context.pc = r->context.pc;
  to->context.sp = r->context.sp;
  to->context.fp = r->context.fp;
  to->context.base = r->context.base;
  to->size = size;
  arch::copy_frames_out(to->bytes(), stack_pointer(r), size);
  r->context = mine.way_back;
  if (is_strict(place)) slots::close(place);
}

void bring_back(const slicer& mine, record* r) noexcept {
  slot& place = *r->stack;
  if (place.user != nullptr) move_away(mine, place.user);
  if (place.closed) slots::open(place);
  place.user = r;
  arch::forget_frames(r->sanitized);
  if (!r->started) {
    r->context = arch::fresh_context(reinterpret_cast<void*>(place.top()), detail::tasklet_entry);
  } else {
    r->context = r->away->context;
    arch::copy_frames_in(stack_pointer(r), r->away->bytes(), r->away->size);
  }
}

// All of these run on the landing.

arch::context* come_back(arch::context* to) noexcept {
  scheduler& s = detail::mine();
  record* r = detail::record_of(to);
  bring_back(*s.slicer, r);
  if (is_strict(*r->stack)) attend(s, detail::attention::strict, true);
  return to;
}

arch::context* see_off(arch::context* to) noexcept {
  const auto& d = *reinterpret_cast<slicer::departure*>(to);
  scheduler& s = detail::mine();
  attend(s, detail::attention::strict, false);
  move_away(*s.slicer, d.from);
  return &d.to->context;
}

arch::context* pay_visit(arch::context* to) noexcept {
  auto& v = *reinterpret_cast<slicer::visit*>(to);
  const slicer& mine = *detail::mine().slicer;
  bring_back(mine, v.host);
  v.result = v.f(v.host, v.argument);
  bring_back(mine, v.guest);
  return &v.guest->context;
}

slicer& slicer_of(scheduler& s) {
  if (s.slicer == nullptr) s.slicer = new slicer(come_back);
  return *s.slicer;
}

slot* acquire_for(scheduler& s, unsigned size_class) {
  slot* const place = slots::acquire(size_class);
  place->home = &s;
  return place;
}

/// One of those that are shared, in turn.
slot* next_shared(scheduler& s, slicer& mine) {
  slot*& place = mine.shared[mine.next];
  if (place == nullptr) place = acquire_for(s, mine.size_class);
  mine.next = (mine.next + 1) % mine.shared.size();
  return place;
}

/// One for `r` alone. It is closed at once, so that the kernel can refuse where it can be told.
slot* strict_slot(scheduler& s, const slicer& mine, record* r) {
  slot* const place = acquire_for(s, mine.size_class);
  place->retired = true;
  place->sole_tenant = r;
  try {
    slots::close(*place);
  } catch (...) {
    slots::release(place);
    throw;
  }
  return place;
}

/// Goes when the last tasklet has left it.
void retire(slot* place) noexcept {
  if (place == nullptr) return;
  place->retired = true;
  if (place->tenants == 0) slots::release(place);
}

}  // namespace

void settle(scheduler& s, record* r) {
  slicer& mine = slicer_of(s);
  slot* const place = mine.strict ? strict_slot(s, mine, r) : next_shared(s, mine);
  ++place->tenants;
  ++place->at_home;
  r->stack = place;
  r->size_class = mine.size_class;
}

void prepare(record* r) noexcept { r->context = r->owner->slicer->way_back; }

arch::context* leave_for(scheduler& s, record* me, record* to) noexcept {
  slicer& mine = *s.slicer;
  mine.leaving = {.landing = mine.detour_by(see_off), .from = me, .to = to};
  return &mine.leaving.landing;
}

void end(record* r) noexcept {
  heap::deallocate(std::exchange(r->away, nullptr));
  if (is_strict(*r->stack)) attend(*r->owner, detail::attention::strict, false);
}

void leave(record* r) noexcept {
  slot* const place = std::exchange(r->stack, nullptr);
  if (place->user == r) place->user = nullptr;
  --place->at_home;
  if (--place->tenants == 0) {
    if (place->retired) slots::release(place);
  } else if (place->at_home == 0) {
    place->home.publish(&detail::nobody);
  }
}

unsigned size_class_of(scheduler& s) { return slicer_of(s).size_class; }

void share(scheduler& s, std::size_t count, unsigned size_class, bool strict) {
  slicer& mine = slicer_of(s);
  std::vector<slot*> shared(count);
  for (slot* place : std::exchange(mine.shared, std::move(shared))) retire(place);
  mine.next = 0;
  mine.size_class = size_class;
  mine.strict = strict;
}

arch::context& context_of(record* r) noexcept { return is_away(r) ? r->away->context : r->context; }

std::span<std::byte> live_bytes(record* r) noexcept {
  if (is_away(r)) return {r->away->bytes(), r->away->size};
  return {stack_pointer(r), reinterpret_cast<std::byte*>(r->stack->top())};
}

bool in_place(record* r, visitor f, void* argument) {
  if (!is_away(r)) return f(r, argument);
  scheduler& s = detail::here();
  slicer& mine = *s.slicer;
  if (r->stack->user != s.current) {
    bring_back(mine, r);
    const bool result = f(r, argument);
    if (is_strict(*r->stack)) move_away(mine, r);
    return result;
  }
  mine.visiting = {.landing = mine.detour_by(pay_visit),
                   .host = r,
                   .guest = s.current,
                   .f = f,
                   .argument = argument,
                   .result = false};
  arch::switch_out_of_line(&s.current->context, &mine.visiting.landing);
  return detail::mine().slicer->visiting.result;
}

bool hold(const void* address) noexcept {
  const auto word = reinterpret_cast<std::uintptr_t>(address);
  if (!arch::region::contains(word)) return false;
  const arch::extent* const there = arch::region::find(word);
  return there != nullptr && there->kind == extent_kind::slot && static_cast<const slot*>(there)->home != nullptr;
}

bool assign(record* r, scheduler& to) noexcept {
  slot* const place = r->stack;
  if (place->tenants != 1) return false;
  std::ranges::replace(detail::mine().slicer->shared, place, nullptr);
  place->retired = true;
  place->home = &to;
  return true;
}

bool adopt(record* r, scheduler& to) noexcept {
  slot* const place = r->stack;
  const scheduler* const home = place->home.acquire();
  if (home != &detail::nobody && home != &to) return false;
  ++place->at_home;
  place->home = &to;
  return true;
}

scheduler* home_of(const record* r) noexcept { return r->stack->home; }

void arrive(scheduler& to, record* r) {
  const slicer& mine = slicer_of(to);
  if (is_away(r)) r->context = mine.way_back;
}

void abandon(record* r) noexcept {
  r->stack->at_home = 0;
  r->stack->home.publish(&detail::nobody);
}

void close(scheduler& s) noexcept {
  slicer* const mine = std::exchange(s.slicer, nullptr);
  if (mine == nullptr) return;
  for (slot* place : mine->shared) retire(place);
  slots::release(mine->landing);
  delete mine;
}

}  // namespace slices
STACKLESS_END
