#include "core/slice.hpp"

#include <cstdio>
#include <cstdlib>
#include <new>
#include <utility>

#include "arch/frames.hpp"
#include "core/heap.hpp"
#include "core/hooks.hpp"
#include "core/inbox.hpp"
#include "core/options.hpp"
#include "core/record.hpp"
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

  arch::context detour_by(arch::detour d) const {
    return arch::detoured_context(reinterpret_cast<void*>(landing->top()), d);
  }

  slot* landing = nullptr;  ///< the stack on which slices are moved
  arch::context way_back{};  ///< of all who are away
  slot* latest = nullptr;    ///< given last to one who settled; ring of those that are shared
  std::size_t opened = 0;    ///< so many are in it
  std::size_t count = shared_slots().count;
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

/// Neither it nor its slots are in the heap: addresses that are left on a stack would take it along into snapshots.
constinit thread_local slicer this_slicer;

[[noreturn]] void refuse_to_lose(std::size_t size) noexcept {
  std::fprintf(stderr,
               "stackless: error: out of memory for a sliced stack of %zu bytes that has to leave its slot: the tasklet "
               "would be lost\n",
               size);
  std::abort();
}

slice* make_block(void* memory, record* r, std::uint32_t size) noexcept {
  slice* const block = new (memory) slice;
  block->room = size;
  block->of = r;
  return r->away = block;
}

/// What a block takes.
std::size_t size_of_block(std::size_t size) noexcept { return sizeof(slice) + arch::size_of_copy(size); }

/// The block that it had last, if that fits, or another.
slice* block_for(record* r, std::uint32_t size) noexcept {
  slice* const block = r->away;
  if (block != nullptr) {
    if (size <= block->room && block->room / 2 <= size) return block;
    heap::deallocate(block);
  }
  arch::region::failure why;
  void* const memory = heap::try_allocate(size_of_block(size), alignof(slice), why);
  if (memory == nullptr) refuse_to_lose(size);
  return make_block(memory, r, size);
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
  if (s.slicer == nullptr) {
    slicer& mine = this_slicer;
    mine = {.landing = slots::acquire(0)};
    mine.way_back = mine.detour_by(come_back);
    s.slicer = &mine;
  }
  return *s.slicer;
}

slot* open(slot* place, scheduler& to) noexcept {
  place->home = &to;
  return place;
}

/// `place`, which nobody lives in, is for `r` alone. It is closed at once, so that the kernel can refuse where it can be
/// told; then the slot is given back.
slot* make_strict(slot* place, record* r) {
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

/// It is the next in turn.
void enter_ring(slicer& mine, slot* place) noexcept {
  if (mine.latest == nullptr) mine.latest = place->next_shared = place;
  place->next_shared = std::exchange(mine.latest->next_shared, place);
  ++mine.opened;
}

void leave_ring(slicer& mine, slot* place) noexcept {
  slot* before = mine.latest;
  while (before->next_shared != place) before = before->next_shared;
  before->next_shared = place->next_shared;
  place->next_shared = nullptr;
  if (mine.latest == place) mine.latest = before != place ? before : nullptr;
  --mine.opened;
}

/// Each of the ring goes when the last tasklet has left it.
void retire_all(slicer& mine) noexcept {
  while (mine.latest != nullptr) {
    slot* const place = mine.latest->next_shared;
    leave_ring(mine, place);
    place->retired = true;
    if (place->tenants == 0) slots::release(place);
  }
}

/// One of those that are shared, in turn.
slot* next_shared(scheduler& s, slicer& mine) {
  if (mine.opened != mine.count) enter_ring(mine, open(slots::acquire(mine.size_class), s));
  return mine.latest = mine.latest->next_shared;
}

void move_in(slot* place, record* r) noexcept {
  ++place->tenants;
  ++place->at_home;
  r->stack = place;
  r->size_class = place->size_class;
}

/// The slot in which tasklets of this thread take turns; nullptr if the word leads to none.
slot* shared_at(const scheduler& s, std::uintptr_t word) noexcept {
  arch::extent* const there = arch::region::find(word);
  if (there == nullptr || there->kind != extent_kind::slot) return nullptr;
  slot* const place = static_cast<slot*>(there);
  return place->home == &s ? place : nullptr;
}

}  // namespace

void settle(scheduler& s, record* r) {
  slicer& mine = slicer_of(s);
  move_in(mine.strict ? make_strict(open(slots::acquire(mine.size_class), s), r) : next_shared(s, mine), r);
}

bool come_home(record* r, std::uintptr_t begin) {
  scheduler& s = *r->owner;
  slot* place = shared_at(s, begin);
  if (place == nullptr) {
    place = slots::acquire_at(begin, r->size_class);
    if (place == nullptr) return false;
    open(place, s)->retired = true;  // it is there for those who have to come back to it
    if (slicer_of(s).strict) make_strict(place, r);
  } else if (place->begin != begin || place->size_class != r->size_class || is_strict(*place)) {
    return false;
  }
  move_in(place, r);
  return true;
}

void put_away(record* r, std::span<const std::byte> live) {
  const auto size = static_cast<std::uint32_t>(live.size());
  slice* const block = make_block(heap::allocate(size_of_block(size), alignof(slice)), r, size);
  block->size = size;
  arch::make_copy(block->bytes(), live.data(), size);
  r->context = slicer_of(*r->owner).way_back;
}

void prepare(record* r) noexcept { r->context = r->owner->slicer->way_back; }

arch::context* leave_for(scheduler& s, record* me, record* to) noexcept {
  slicer& mine = *s.slicer;
  mine.leaving = {.landing = mine.detour_by(see_off), .from = me, .to = to};
  return &mine.leaving.landing;
}

void end(record* r) noexcept {
  heap::deallocate(std::exchange(r->away, nullptr));
  if (is_strict(*r->stack) && r == r->owner->current) attend(*r->owner, detail::attention::strict, false);
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
  retire_all(mine);
  mine.count = count;
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

// The block can be anybody's, and in use.
__attribute__((no_sanitize("address", "thread"))) bool keep(const heap::block& b) noexcept {
  if (b.size < sizeof(slice)) return false;
  const auto* const block = reinterpret_cast<const slice*>(b.begin);
  const record* const r = records::find(reinterpret_cast<std::uintptr_t>(block->of));
  return r != nullptr && r->sliced && r->started && r->alive() && r->away == block;
}

bool assign(record* r, scheduler& to) noexcept {
  slot* const place = r->stack;
  if (place->tenants != 1) return false;
  if (place->next_shared != nullptr) leave_ring(*detail::mine().slicer, place);
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
  retire_all(*mine);
  slots::release(mine->landing);
}

}  // namespace slices
STACKLESS_END
