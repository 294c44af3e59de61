#pragma once

/// What the runs of granules that core takes from the region are used for.

#include <cstddef>
#include <cstdint>
#include <stackless/config.hpp>

STACKLESS_BEGIN
namespace extent_kind {

inline constexpr std::uint8_t slot = 1;     ///< struct slot: one native stack
inline constexpr std::uint8_t heap = 2;     ///< struct span: blocks of the picklable heap
inline constexpr std::uint8_t records = 3;  ///< struct span: tasklet records

}  // namespace extent_kind

/// Gives back to the region whatever lies idle in [begin, begin + size): slots in the pool, spans without a
/// live cell. False if something there is in use.
bool vacate(std::uintptr_t begin, std::size_t size) noexcept;
STACKLESS_END
