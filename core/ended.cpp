#include "core/ended.hpp"

#include <utility>

#include "core/fork_level.hpp"
#include "core/record.hpp"
#include "core/scheduler.hpp"

STACKLESS_BEGIN
namespace detail {
namespace {

constexpr unsigned no_size_class = slots::size_classes;

bool has_departed(const scheduler& s, const record* r) {
  const record* each = s.departed;
  while (each != nullptr && each != r) each = each->next;
  return each != nullptr;
}

void discharge_spares(scheduler& s) noexcept {
  while (record* r = s.spare) {
    s.spare = r->next;
    --s.kept_slots;
    depart(s, r);
  }
}

// What a child of fork inherits is not for new tasklets.
const arch::fork_hook at_fork(fork_level::spares, []() noexcept {}, []() noexcept {}, []() noexcept {
  discharge_spares(mine());
});

}  // namespace

void depart(scheduler& s, record* r) noexcept {
  r->next = s.departed;
  s.departed = r;
}

void keep_slots_for(scheduler& s, const stack_plan& plan) noexcept {
  const unsigned size_class = plan.sliced || plan.measured ? no_size_class : plan.size_class;
  if (size_class == s.kept_size_class) return;
  s.kept_size_class = size_class;
  discharge_spares(s);
}

void bury(scheduler& s, record* r) noexcept {
  if (has_departed(s, r)) return;  // it goes when it is reclaimed
  if (r->stack == nullptr) return destroy(r);
  if (r->size_class == s.kept_size_class && r->extras == nullptr && r->closure == nullptr) return spare(s, r);
  give_up_slot(s, r);
  destroy(r);
}

void reclaim_departed(scheduler& s) noexcept {
  while (record* r = s.departed) {
    s.departed = r->next;
    release_stack(r);
    if (r->all_handles() == 0) destroy(r);
  }
}

void give_up_slot(scheduler& s, record* r) noexcept {
  if (has_departed(s, r)) return reclaim_departed(s);
  if (r->stack == nullptr) return;
  --s.kept_slots;
  release_stack(r);
}

void reclaim_all(scheduler& s) noexcept {
  discharge_spares(s);
  reclaim_departed(s);
  if (s.kept_slots == 0) return;
  records::for_each_of(s, [&](record* r) {
    if (!r->alive()) give_up_slot(s, r);
  });
}

}  // namespace detail
STACKLESS_END
