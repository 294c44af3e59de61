#pragma once

/// What tasklet_options come to.

#include <stackless/tasklet_options.hpp>

STACKLESS_BEGIN
namespace detail {

/// 256 KiB: of these every stack has 160 KiB.
inline constexpr unsigned ordinary_size_class = 2;

struct stack_plan {
  unsigned size_class;  ///< of the smallest slots that have the room
  bool sliced;
  bool measured;
};

/// Throws error: no slot has the room.
stack_plan plan_for(const tasklet_options&);

/// The same for what this thread makes without options.
stack_plan default_plan() noexcept;

}  // namespace detail
STACKLESS_END
