#pragma once

#include <stackless/overflow.hpp>

STACKLESS_BEGIN
namespace detail {

/// Overflows in this thread are reported from now on, unless the program does not like it.
void watch_for_overflows() noexcept;

}  // namespace detail
STACKLESS_END
