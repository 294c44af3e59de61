#pragma once

/// What tasklet_options come to: the size of the slot.

#include <stackless/tasklet_options.hpp>

STACKLESS_BEGIN
namespace detail {

/// The smallest slots that have so much room. Throws error: there are none.
unsigned size_class_for(const tasklet_options&);

/// The same for what this thread makes without options.
unsigned default_size_class() noexcept;

}  // namespace detail
STACKLESS_END
