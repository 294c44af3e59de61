#include "serialize/closure.hpp"

#include <algorithm>

#include <stackless/detail/scheduler.hpp>
#include <stackless/snapshot_error.hpp>

#include "core/access.hpp"
#include "core/extents.hpp"
#include "core/record.hpp"
#include "core/scheduler.hpp"
#include "core/slot.hpp"
#include "serialize/raw.hpp"
#include "serialize/refusal.hpp"

STACKLESS_BEGIN
namespace snapshot {

using detail::record;

std::span<const std::byte> live_stack(const record& r) {
  if (!r.started || !r.alive()) return {};
  const auto* low = static_cast<const std::byte*>(r.context.sp) - arch::red_zone;
  const auto* top = reinterpret_cast<const std::byte*>(r.stack->top());
  return {low, top};
}

closure::closure(std::span<record* const> roots) {
  for (record* r : roots) add(r);
  std::size_t tasklets_seen = 0;
  std::size_t blocks_seen = 0;
  while (tasklets_seen != tasklets_.size() || blocks_seen != blocks_.size()) {
    if (tasklets_seen != tasklets_.size()) {
      visit(*tasklets_[tasklets_seen++].record);
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
    const auto stack = live_stack(*m.record);
    return channel - reinterpret_cast<std::uintptr_t>(stack.data()) < stack.size();
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
  if (r->sliced) {
    refuse(r, "it shares the addresses of its stack with other tasklets, and a file has no place for that",
           "give the tasklet a stack of its own");
  }
  tasklets_.push_back({r});
}

void closure::add_queue(const channel_base& c) {
  if (!followed_.insert(&c).second) return;
  for (record* r = channel_access::front(c); r != nullptr; r = r->next) add(r);
}

void closure::visit(const record& r) {
  if (!r.started) follow(reinterpret_cast<std::uintptr_t>(r.closure));
  follow(reinterpret_cast<std::uintptr_t>(r.extras));
  if (r.has_cargo) scan(r.cargo);
  follow(reinterpret_cast<std::uintptr_t>(r.exceptions.caught));
  follow(reinterpret_cast<std::uintptr_t>(r.failure));
  follow(reinterpret_cast<std::uintptr_t>(r.context.fp));
  follow(reinterpret_cast<std::uintptr_t>(r.context.base));
  scan(live_stack(r));
  if (r.blocked() && arch::region::contains(reinterpret_cast<std::uintptr_t>(r.blocked_on.get()))) {
    follow(reinterpret_cast<std::uintptr_t>(r.blocked_on.get()));
    add_queue(*r.blocked_on);
  }
}

void closure::scan(std::span<const std::byte> words) {
  for (std::size_t i = 0; i != words.size(); i += 8) follow(word_at(words.data() + i));
}

void closure::follow(std::uintptr_t word) {
  if (!arch::region::contains(word)) return;
  if (const heap::block b = heap::find(word)) {
    if (known_.insert(b.begin).second) blocks_.push_back(b);
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
  const record* r = records::find(word);
  if (r == nullptr) {
    const auto* extent = arch::region::find(word);
    if (extent == nullptr || extent->kind != extent_kind::slot) return false;
    if (static_cast<const slot*>(extent)->home != nullptr) return true;  // shared by tasklets that are not carried
    r = static_cast<const slot*>(extent)->user;
  }
  return r != nullptr && !carries(r);
}

}  // namespace snapshot
STACKLESS_END
