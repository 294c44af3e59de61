#include "core/options.hpp"

#include <unistd.h>

#include <string>

#include <stackless/error.hpp>

#include "core/slot.hpp"

STACKLESS_BEGIN
namespace detail {
namespace {

/// 256 KiB: of these every stack has 160 KiB.
constexpr unsigned ordinary = 2;

struct {
  tasklet_options options;
  stack_plan plan{.size_class = ordinary, .measured = false};
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

stack_plan plan_for(const tasklet_options& options) {
  return {.size_class = options.stack_size != 0 ? size_class_for(options.stack_size) : defaults.plan.size_class,
          .measured = options.measure_stack};
}

stack_plan default_plan() noexcept { return defaults.plan; }

}  // namespace detail

tasklet_options default_options() noexcept { return detail::defaults.options; }

void default_options(const tasklet_options& options) {
  const unsigned size_class = options.stack_size != 0 ? detail::size_class_for(options.stack_size) : detail::ordinary;
  detail::defaults = {.options = options, .plan = {.size_class = size_class, .measured = options.measure_stack}};
}

STACKLESS_END
