#include "serialize/closure.hpp"

#include <algorithm>

#include <stackless/detail/scheduler.hpp>
#include <stackless/snapshot_error.hpp>

#include "core/access.hpp"
#include "core/extents.hpp"
#include "core/record.hpp"
#include "core/scheduler.hpp"
#include "core/slice.hpp"
#include "core/slot.hpp"
#include "serialize/raw.hpp"
#include "serialize/refusal.hpp"

STACKLESS_BEGIN
namespace snapshot {

using detail::record;

live_stack::live_stack(record* r) {
  if (!r->started || !r->alive()) return;
  begin = reinterpret_cast<std::uintptr_t>(slices::context_of(r).sp);
  if (r->sliced) {
    bytes = slices::live_bytes(r);
  } else {
    begin -= arch::red_zone;
    bytes = {reinterpret_cast<const std::byte*>(begin), r->stack->top() - begin};
  }
}

closure::closure(std::span<record* const> roots) {
  for (record* r : roots) add(r);
  std::size_t tasklets_seen = 0;
  std::size_t blocks_seen = 0;
  while (tasklets_seen != tasklets_.size() || blocks_seen != blocks_.size()) {
    if (tasklets_seen != tasklets_.size()) {
      visit(tasklets_[tasklets_seen++].record);
    } else {
      const heap::block b = blocks_[blocks_seen++];
      scan({reinterpret_cast<const std::byte*>(b.begin), b.size});
    }
  }
  std::ranges::sort(blocks_, {}, &heap::block::begin);
  refuse_main_in_queue();
}

void closure::refuse_main_in_queue() const {
  const record& main = detail::here().main;
  if (!main.blocked()) return;
  const auto channel = reinterpret_cast<std::uintptr_t>(main.blocked_on.get());
  const auto on_stack = [&](const member& m) {
    const live_stack stack(m.record);
    return channel - stack.begin < stack.bytes.size();
  };
  const heap::block b = heap::find(channel);
  if ((b && known_.contains(b.begin)) || std::ranges::any_of(tasklets_, on_stack)) {
    refuse(&main, "the main tasklet waits on a channel that would be saved, and cannot be saved itself",
           "let the part that waits run in a tasklet of its own");
  }
}

void closure::add(record* r) {
  if (!index_.try_emplace(r, static_cast<std::uint32_t>(tasklets_.size())).second) return;
  if (r == &r->owner->main) {
    refuse(r, "the main tasklet cannot be saved: its stack belongs to the thread",
           "let the part that is to be saved run in a tasklet of its own");
  }
  if (detail::is_abroad(r)) {
    refuse(r, "the tasklet belongs to another thread", "dump it there, or move it to this thread with bind_thread()");
  }
  if (r->choice != nullptr) {
    refuse(r, "the tasklet waits in a select()", "dump it while it waits on one channel, or is paused");
  }
  if (r == r->owner->current) {
    refuse(r, "the tasklet that runs cannot be saved", "dump it from another tasklet, while it is parked");
  }
  tasklets_.push_back({r});
}

void closure::add_queue(const channel_base& c) {
  if (!followed_.insert(&c).second) return;
  for (record* r = channel_access::front(c); r != nullptr; r = r->next) add(r);
}

void closure::visit(record* r) {
  if (!r->started) follow(reinterpret_cast<std::uintptr_t>(r->closure));
  follow(reinterpret_cast<std::uintptr_t>(r->extras));
  if (r->has_cargo) scan(r->cargo);
  follow(reinterpret_cast<std::uintptr_t>(r->exceptions.caught));
  follow(reinterpret_cast<std::uintptr_t>(r->failure));
  if (const live_stack stack(r); !stack.bytes.empty()) {
    const arch::context& parked = slices::context_of(r);
    follow(reinterpret_cast<std::uintptr_t>(parked.fp));
    follow(reinterpret_cast<std::uintptr_t>(parked.base));
    scan(stack.bytes);
    stack_bytes_ += stack.bytes.size();
    if (r->sliced) shared_.insert(r->stack);
  }
  if (r->blocked() && arch::region::contains(reinterpret_cast<std::uintptr_t>(r->blocked_on.get()))) {
    follow(reinterpret_cast<std::uintptr_t>(r->blocked_on.get()));
    add_queue(*r->blocked_on);
  }
}

void closure::scan(std::span<const std::byte> words) {
  for (std::size_t i = 0; i != words.size(); i += 8) follow(word_at(words.data() + i));
}

void closure::follow(std::uintptr_t word) {
  if (!arch::region::contains(word)) return;
  if (const heap::block b = heap::find(word)) {
    if (slices::keep(b)) return;
    if (!known_.insert(b.begin).second) return;
    blocks_.push_back(b);
    heap_bytes_ += b.size;
    return;
  }
  record* r = records::find(word);
  if (r == nullptr) return;
  if (word == detail::tagged<detail::handle_tag>(r) && r->all_handles() != 0) {  // else a handle that is gone has left it
    add(r);
    ++tasklets_[index_of(r)].handles;
  } else if (word == detail::tagged<detail::queue_tag>(r) && r->blocked()) {
    add_queue(*r->blocked_on);
  } else if (word == detail::tagged<detail::owner_tag>(r) && r->alive()) {
    add(r);
  }
}

bool closure::stays_behind(std::uintptr_t word) const {
  if (const record* r = records::find(word)) return !carries(r);
  const arch::extent* const there = arch::region::find(word);
  if (there == nullptr) return false;
  if (there->kind == extent_kind::heap) return slices::keep(heap::find(word));
  if (there->kind != extent_kind::slot) return false;
  const slot& place = *static_cast<const slot*>(there);
  // All of the slot counts, not just what is live: a number in which a piece of an old address is left can look as if it
  // led below.
  if (place.home != nullptr) return !shared_.contains(&place);
  return place.user != nullptr && !carries(place.user);
}

}  // namespace snapshot
STACKLESS_END
