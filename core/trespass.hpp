#pragma once

#include <stackless/config.hpp>

STACKLESS_BEGIN
namespace detail {

/// `address` could not be accessed by this thread. If it is on the closed stack of a tasklet, that is said on stderr.
void report_trespass(const void* address) noexcept;

}  // namespace detail
STACKLESS_END
