#pragma once

/// Slots: the address ranges that native stacks live in, each with a guard at its low end, kept in a pool.

#include <cstddef>
#include <cstdint>

#include "arch/region.hpp"
#include "core/extents.hpp"

STACKLESS_BEGIN

namespace detail {
struct record;
struct scheduler;
}

struct slot : arch::extent {
  /// Warm and cold slots are in the pool, with their pages or without.
  enum class state : std::uint8_t { used, warm, cold };

  detail::record* user = nullptr;  ///< the tasklet whose stack this is now; nullptr: none, or in the pool
  state now = state::used;
  std::uint32_t era = arch::region::no_era;  ///< what is not of this era is not used for new stacks
  const detail::scheduler* home = nullptr;  ///< whose sliced tasklets share it; nullptr: nobody's
  std::uint32_t tenants = 0;                ///< so many of them
  std::uintptr_t shared_top = 0;            ///< top(), which they ask for at each move
  bool retired = false;                     ///< shared: nobody new settles in it
  slot* next_free = nullptr;
  slot* previous_free = nullptr;

  /// The lowest byte a stack may use.
  std::uintptr_t floor() const;

  /// Where a stack begins, aligned to 64: up to 64 KiB below the end, a function of the address alone. It
  /// differs from slot to slot by cache lines and pages, so that the hot ends of many stacks do not compete
  /// for the same sets of the caches and of the translation buffer.
  std::uintptr_t top() const;
};

namespace slots {

/// Bytes of a slot, guard included. Addresses, not memory: pages are given when touched.
inline constexpr std::size_t size = std::size_t{256} << 10;

/// A guarded slot with no user, from the pool if it has one. Throws memory_error.
slot* acquire();

/// The slot that begins at `begin`. nullptr, and nothing changed, if it has a user or its addresses belong to
/// something else. Throws memory_error.
slot* acquire_at(std::uintptr_t begin);

/// Into the pool, or, if it is not of this era, back to the region. The pages stay until many slots are idle,
/// then they go back to the kernel.
void release(slot* idle) noexcept;

/// Out of the pool and back to the region. False if it is in use.
bool drop(slot& idle) noexcept;

}  // namespace slots
STACKLESS_END
