#pragma once

/// Slots: the address ranges that native stacks live in, each with a guard at its low end, kept in a pool.

#include <cstddef>
#include <cstdint>
#include <optional>

#include <stackless/detail/record.hpp>

#include "arch/region.hpp"
#include "core/extents.hpp"

STACKLESS_BEGIN

struct slot : arch::extent {
  /// Warm and cold slots are in the pool, with their pages or without.
  enum class state : std::uint8_t { used, warm, cold };

  detail::record* user = nullptr;  ///< the tasklet whose stack this is now; nullptr: none, or in the pool
  state now = state::used;
  unsigned size_class = 0;
  std::uint32_t era = arch::region::no_era;  ///< what is not of this era is not used for new stacks
  // Shared by sliced tasklets. Only the thread that it belongs to touches this, and hands it on by what it stores in
  // `home`; the tenants that are not of this thread have been left by another.
  detail::relaxed<detail::scheduler*> home = nullptr;  ///< of that thread; &detail::nobody: no thread's; nullptr: not shared
  std::uint32_t tenants = 0;
  std::uint32_t at_home = 0;              ///< those of them who are of this thread
  slot* next_shared = nullptr;            ///< ring of those that the thread has for new ones: next in turn
  bool retired = false;                   ///< nobody new settles in it
  detail::record* sole_tenant = nullptr;  ///< nobody else may see what is in it: closed while its stack is away
  bool closed = false;                    ///< an access faults
  slot* next_free = nullptr;
  slot* previous_free = nullptr;
  std::uintptr_t top_ = 0;  ///< since it has its place

  /// The lowest byte a stack may use. Below it is the guard: an eighth of the slot, but at most 64 KiB, so that hardly a
  /// frame is large enough to step over it. It is made once, and as fast as a page of it would be.
  std::uintptr_t floor() const;

  /// Where a stack begins, aligned to 64: up to a quarter of the slot and 64 KiB below the end, a function of the
  /// addresses alone. It differs from slot to slot by cache lines and pages, so that the hot ends of many stacks do not
  /// compete for the same sets of the caches and of the translation buffer.
  std::uintptr_t top() const { return top_; }

  /// Bytes that a stack may use.
  std::size_t room() const { return top() - floor(); }

  /// How far from its beginning the stack is not zero, rounded up to pages. All below is read, closed or not.
  std::size_t high_water() const;
};

namespace slots {

// Bytes of a slot, guard included, are a power of two: `smallest << size_class`. Addresses, not memory: pages are given
// when touched.
inline constexpr std::size_t smallest = arch::granule_size;
inline constexpr unsigned size_classes = 16;  ///< records have four bits for it
static_assert((smallest << (size_classes - 1)) < arch::largest_run);

constexpr std::size_t size_of(unsigned size_class) {
  return smallest << size_class;
}

/// The size class whose slots have so many bytes.
std::optional<unsigned> class_of(std::size_t size) noexcept;

/// Bytes that a stack may use in every slot of the size class.
std::size_t least_room(unsigned size_class) noexcept;

/// A guarded slot with no user, from the pool if it has one. Throws memory_error.
slot* acquire(unsigned size_class);

/// The slot of this size that begins at `begin`. nullptr, and nothing changed, if it has a user or its addresses belong
/// to something else. Throws memory_error.
slot* acquire_at(std::uintptr_t begin, unsigned size_class);

/// Into the pool, or, if it is not of this era, back to the region. The pages stay until many slots are idle,
/// then they go back to the kernel.
void release(slot* idle) noexcept;

/// From its floor on nobody can access it until it is opened; what is there stays. Both throw memory_error.
void close(slot&);
void open(slot&);

/// The pages of one in use go back to the kernel: nobody has left anything in it.
void clear(const slot&) noexcept;

/// Out of the pool and back to the region. False if it is in use.
bool drop(slot& idle) noexcept;

}  // namespace slots
STACKLESS_END
