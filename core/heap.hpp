#pragma once

/// The picklable heap as the capture and the restore of snapshots see it.

#include <cstddef>
#include <cstdint>
#include <stackless/heap.hpp>

#include "core/span.hpp"

STACKLESS_BEGIN
namespace heap {

/// A live block. `begin == 0`: there is none.
struct block {
  std::uintptr_t begin = 0;
  std::size_t size = 0;  ///< of the cell, slack included
  const span* of = nullptr;

  explicit operator bool() const { return begin != 0; }
};

/// The live block that `word` leads into: its start, its interior, or one past the end of what was asked for
/// (a cell is always larger than the request). Constant time; any value of `word` will do.
block find(std::uintptr_t word) noexcept;

/// What allocate does; nullptr, with `why` filled in, instead of an exception.
void* try_allocate(std::size_t bytes, std::size_t alignment, arch::region::failure& why) noexcept;

/// Makes the cell at `begin` live, in a span of the given shape. False, and nothing changed, if something
/// lives there, or if another thread owns the span and the kernel has no membarrier. Throws memory_error.
bool claim(std::uintptr_t begin, const span_shape& home);

}  // namespace heap
STACKLESS_END
