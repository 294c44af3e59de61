#pragma once

/// Where in the region a process starts to place things.

#include <cstddef>

#include "arch/region.hpp"

STACKLESS_BEGIN
namespace arch::arena {

/// The index of the chunk to start with: the one STACKLESS_ARENA names, else a random one that leaves room to
/// grow. False, with `why` filled in, if the variable names no address of the region. Works before static
/// constructors.
bool start(std::size_t& chunk, region::failure& why) noexcept;

/// A random chunk that leaves room to grow.
std::size_t random_start() noexcept;

}  // namespace arch::arena
STACKLESS_END
