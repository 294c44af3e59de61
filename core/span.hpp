#pragma once

/// A span is a run of granules cut into cells of one size, with a bit per cell that says whether it is live.
/// The bits are kept outside the span: a cell holds nothing but the program's own bytes, and what is dead is
/// known to be dead.

#include <bit>
#include <cstddef>
#include <cstdint>

#include "arch/fork.hpp"
#include "arch/lock.hpp"
#include "arch/region.hpp"

STACKLESS_BEGIN

class cell_pool;

/// Where a span lies and how it is cut: what a snapshot must say for a cell to be put back.
struct span_shape {
  std::uintptr_t begin;
  std::size_t size;
  std::size_t cell_size;

  bool operator==(const span_shape&) const = default;
};

struct span : arch::extent {
  std::uint32_t capacity = 0;                ///< cells
  std::uint32_t live = 0;                    ///< cells in use
  std::size_t cell_size = 0;                 ///< bytes
  std::uint64_t reciprocal = 0;              ///< of cell_size, so that index_of is a multiplication
  std::uint64_t* bits = nullptr;             ///< 1 = live; what fills up the last word is 1 for ever
  std::uint32_t hint = 0;                    ///< no word of `bits` below this one has a free cell
  std::uint32_t era = arch::region::no_era;  ///< allocate leaves alone what is not of this era
  cell_pool* pool = nullptr;                 ///< nullptr: a span of one cell, for a large block
  span* next = nullptr;  ///< list of the pool: spans with a free cell, or descriptors to be used again
  span* previous = nullptr;

  span_shape shape() const { return {begin, size, cell_size}; }
  bool is_home() const { return era != arch::region::era; }  ///< of cells that were there before this process
  std::uintptr_t cell(std::uint32_t index) const { return begin + index * cell_size; }

  /// Capacity or more: in the tail that is no cell.
  std::uint32_t index_of(std::uintptr_t word) const {
    __extension__ using wide = unsigned __int128;
    return static_cast<std::uint32_t>(static_cast<wide>(word - begin) * reciprocal >> 64);
  }

  // The capture of a snapshot asks while other threads allocate, so the bits are read and written as atomics.
  bool is_live(std::uint32_t index) const {
    return index < capacity && (word_of(index) >> (index % 64) & 1) != 0;
  }
  std::uint64_t word_of(std::uint32_t index) const {
    return __atomic_load_n(&bits[index / 64], __ATOMIC_RELAXED);
  }
  void flip(std::uint32_t index) {
    const std::uint64_t flipped = word_of(index) ^ std::uint64_t{1} << (index % 64);
    __atomic_store_n(&bits[index / 64], flipped, __ATOMIC_RELAXED);
  }

  /// A descriptor without a place yet, all cells free; one of `retired`, if it has any, else a new one.
  /// nullptr, with errno set, if the kernel refuses. All of one list have the same capacity.
  static span* describe(span*& retired, std::uint8_t kind, std::size_t cell_size,
                        std::uint32_t capacity) noexcept;
};

/// All spans of one cell size and kind. Any thread may use it.
class cell_pool {
 public:
  /// `cell_size` is a multiple of 16.
  constexpr cell_pool(std::uint8_t kind, std::size_t cell_size, std::size_t granules_per_span)
      : cell_size_(cell_size), granules_(granules_per_span), kind_(kind) {}

  /// A free cell, live from now on; zero. Throws memory_error.
  void* allocate();

  /// The same; nullptr, with `why` filled in, instead of an exception.
  void* try_allocate(arch::region::failure& why) noexcept {
    void* const cell = try_available();
    return cell != nullptr ? cell : allocate_in_new_span(why);
  }

  /// The same from the spans there are; nullptr if all are full.
  void* try_available() noexcept {
    arch::locked hold(lock_);
    span* const s = available_;
    return s != nullptr ? take_cell(*s) : nullptr;
  }

  /// The cell is free, its bytes are zero. A span without a live cell goes back to the region, but for one.
  /// False, and nothing changed, if it was not live.
  bool release(span& of, std::uint32_t index) noexcept;

  /// The cell at `begin` in a span of exactly this shape: put there if the granules are free. False, and
  /// nothing changed, if the cell is live or the granules belong to something else. Throws memory_error.
  bool claim(std::uintptr_t begin, const span_shape& home);

  /// The span goes back to the region. False if it has a live cell.
  bool drop(span& idle) noexcept;

  std::size_t cell_size() const noexcept { return cell_size_; }
  std::size_t span_size() const noexcept { return granules_ * arch::granule_size; }

 private:
  // With the lock held:
  void* take_cell(span& of) noexcept {
    std::uint32_t word = of.hint;
    while (of.word_of(word * 64) == ~std::uint64_t{0}) ++word;
    of.hint = word;
    const std::uint32_t index =
        word * 64 + static_cast<std::uint32_t>(std::countr_one(of.word_of(word * 64)));
    make_live(of, index);
    return reinterpret_cast<void*>(of.cell(index));
  }

  void make_live(span& of, std::uint32_t index) noexcept {
    of.flip(index);
    if (of.live == 0 && !of.is_home()) --empty_;
    if (++of.live == of.capacity && !of.is_home()) leave_available(of);
  }

  void enter_available(span& s) noexcept;
  void leave_available(span& s) noexcept;
  void retire(span& empty) noexcept;

  // With the lock free:
  void* allocate_in_new_span(arch::region::failure& why) noexcept;
  span* describe(arch::region::failure& why) noexcept;
  void retire_descriptor(span& unplaced) noexcept;

  static void forget_available(void* pool) noexcept;

  arch::spin_lock lock_;
  arch::fork_hook hook_ = {.lock = lock_, .in_child = forget_available, .owner = this};
  std::uint32_t empty_ = 0;    ///< spans among `available_` without a live cell
  span* available_ = nullptr;  ///< spans with a free cell; none that is_home()
  span* retired_ = nullptr;    ///< descriptors without a place
  std::size_t cell_size_;
  std::size_t granules_;
  std::uint8_t kind_;
};

STACKLESS_END
