#pragma once

#include <span>

#include <stackless/detail/record.hpp>

#include "serialize/image.hpp"

STACKLESS_BEGIN
namespace snapshot {

/// The image of these parked tasklets and of all that they reach. They are not changed by it.
/// Throws snapshot_error{not_restorable}, naming what cannot be saved.
image capture(std::span<detail::record* const> roots);

}  // namespace snapshot
STACKLESS_END
