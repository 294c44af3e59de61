#include "core/options.hpp"

#include <unistd.h>

#include <string>

#include <stackless/error.hpp>

#include "core/ended.hpp"
#include "core/scheduler.hpp"
#include "core/slice.hpp"
#include "core/slot.hpp"

STACKLESS_BEGIN
namespace detail {
namespace {

struct {
  tasklet_options options;
  stack_plan plan{.size_class = ordinary_size_class, .sliced = false, .measured = false};
} constinit thread_local defaults;

std::string refusal(std::size_t asked) {
  return "no stack of " + std::to_string(asked) + " bytes can be had (tasklet_options::stack_size): ";
}

/// What a signal and its handler need, which run on the stack of whatever tasklet they meet.
std::size_t least_stack() {
  return (std::size_t{16} << 10) + static_cast<std::size_t>(sysconf(_SC_MINSIGSTKSZ));
}

/// The size class of the smallest slots that have so much room.
unsigned size_class_for(std::size_t asked) {
  if (asked < least_stack()) {
    throw error(refusal(asked) + "signals need at least " + std::to_string(least_stack()) +
                "; ask for that, or for 0 to get the default");
  }
  for (unsigned c = 0; c != slots::size_classes; ++c) {
    if (slots::least_room(c) >= asked) return c;
  }
  throw error(refusal(asked) + "the largest has " + std::to_string(slots::least_room(slots::size_classes - 1)) +
              "; keep what is large in the heap");
}

}  // namespace

/// Of slots that are there for all sliced tasklets of the thread.
void refuse_more_than_shared(std::size_t asked) {
  const std::size_t room = slots::least_room(slices::size_class_of(here()));
  if (asked <= room) return;
  throw error(refusal(asked) + "the slots that sliced tasklets share have " + std::to_string(room) +
              "; let share_slots() make larger ones first");
}

/// `ordinary`: of those who do not say how large.
stack_plan plan_with(const tasklet_options& options, unsigned ordinary) {
  const bool sliced = options.stack == stack::sliced;
  if (sliced) refuse_more_than_shared(options.stack_size);
  return {.size_class = options.stack_size != 0 && !sliced ? size_class_for(options.stack_size) : ordinary,
          .sliced = sliced,
          .measured = options.measure_stack};
}

stack_plan plan_for(const tasklet_options& options) { return plan_with(options, defaults.plan.size_class); }

stack_plan default_plan() noexcept { return defaults.plan; }

}  // namespace detail

tasklet_options default_options() noexcept { return detail::defaults.options; }

void default_options(const tasklet_options& options) {
  detail::defaults = {.options = options, .plan = detail::plan_with(options, detail::ordinary_size_class)};
  detail::keep_slots_for(detail::here(), detail::defaults.plan);
}

void share_slots(const shared_slots& shared) {
  if (shared.count == 0) throw error("sliced tasklets cannot share no slots: they need at least one");
  const unsigned size_class =
      shared.stack_size != 0 ? detail::size_class_for(shared.stack_size) : detail::ordinary_size_class;
  slices::share(detail::here(), shared.count, size_class, shared.strict);
}

STACKLESS_END
