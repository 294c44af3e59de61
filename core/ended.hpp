#pragma once

/// What becomes of tasklets that have ended.
///
/// Most lives are short, and the next one is like the last. So a thread keeps the slots of a few that have ended, with
/// their records: still dead, but suspended where a life begins. Once no handle leads to such a record it is spare, and
/// create() makes the next tasklet of it. All others give back their slot as soon as somebody else stands on his own,
/// and their record when the last handle goes.

#include <stackless/detail/scheduler.hpp>

#include "core/options.hpp"
#include "core/slot.hpp"

STACKLESS_BEGIN
namespace detail {

/// A thread keeps so many.
inline constexpr std::uint32_t most_kept_slots = 64;

/// Only slots for tasklets of this plan are kept from now on.
void keep_slots_for(scheduler&, const stack_plan&) noexcept;

/// Whether the running tasklet may keep its slot when it ends.
inline bool may_keep_slot(const scheduler& s, const record* r) {
  return s.kept_slots < most_kept_slots && r->size_class == s.kept_size_class && !r->sliced && r->extras == nullptr &&
         r->stack->era == arch::region::era;
}

/// `r`, which is dead and has a slot that was kept, is spare from now on.
inline void spare(scheduler& s, record* r) {
  r->next = s.spare;
  s.spare = r;
}

/// `r` has ended, and its stack is to be reclaimed.
void depart(scheduler&, record* r) noexcept;

/// The last handle to `r`, which is dead, is gone.
void bury(scheduler&, record* r) noexcept;

/// Gives back the stacks, and if nobody holds on to them the records, of those who have departed.
void reclaim_departed(scheduler&) noexcept;

/// The same for all that are dead.
void reclaim_all(scheduler&) noexcept;

/// `r`, which is dead, has no slot afterwards.
void give_up_slot(scheduler&, record* r) noexcept;

}  // namespace detail
STACKLESS_END
