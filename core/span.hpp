#pragma once

/// A span is a run of granules cut into cells of one size, with a bit per cell that says whether it is live.
/// The bits are kept outside the span: a cell holds nothing but the program's own bytes, and what is dead is
/// known to be dead.

#include <atomic>
#include <bit>
#include <cstddef>
#include <cstdint>

#include "arch/lock.hpp"
#include "arch/region.hpp"
#include "core/cell_cache.hpp"

STACKLESS_BEGIN

/// Where a span lies and how it is cut: what a snapshot must say for a cell to be put back.
struct span_shape {
  std::uintptr_t begin;
  std::size_t size;
  std::size_t cell_size;

  bool operator==(const span_shape&) const = default;
};

/// What is known of 64 cells.
struct cell_bits {
  std::uint64_t live;    ///< written by the owner of the span, or with the lock held; what is no cell is 1 for ever
  std::uint64_t remote;  ///< 1 = freed by another thread, so not live after all
};

struct span : arch::extent {
  std::uint32_t capacity = 0;  ///< cells
  std::uint32_t live = 0;      ///< cells whose bit in cell_bits::live is 1, for the owner or with the lock held
  std::size_t cell_size = 0;   ///< bytes
  std::uint64_t reciprocal = 0;  ///< of cell_size, so that index_of is a multiplication
  cell_bits* bits = nullptr;
  std::atomic<thread_caches*> owner = nullptr;  ///< nullptr: nobody's
  std::uint32_t hint = 0;                       ///< none of `bits` below this one has a free cell
  std::uint32_t era = arch::region::no_era;     ///< allocate leaves alone what is not of this era
  cell_pool* pool = nullptr;                    ///< nullptr: a span of one cell, for a large block
  span* next = nullptr;  ///< list of the owner or the pool, or descriptors to be used again
  span* previous = nullptr;

  span_shape shape() const { return {begin, size, cell_size}; }
  bool is_full() const { return live == capacity; }
  bool is_home() const { return era != arch::region::era; }  ///< of cells that were there before this process
  bool is_owned() const { return !is_home() && owner.load(std::memory_order_relaxed) != nullptr; }
  std::uintptr_t cell(std::uint32_t index) const { return begin + index * cell_size; }

  /// Capacity or more: in the tail that is no cell.
  std::uint32_t index_of(std::uintptr_t word) const {
    __extension__ using wide = unsigned __int128;
    return static_cast<std::uint32_t>(static_cast<wide>(word - begin) * reciprocal >> 64);
  }

  // The capture of a snapshot asks while other threads allocate, so the bits are read and written as atomics.
  bool is_live(std::uint32_t index) const {
    return index < capacity && !is_remote(index) && (live_bits(index / 64) >> (index % 64) & 1) != 0;
  }
  /// To be asked before the live bit: collect clears that one first.
  bool is_remote(std::uint32_t index) const {
    return (__atomic_load_n(&bits[index / 64].remote, __ATOMIC_ACQUIRE) >> (index % 64) & 1) != 0;
  }
  std::uint64_t live_bits(std::uint32_t word) const { return __atomic_load_n(&bits[word].live, __ATOMIC_RELAXED); }
  void set_live_bits(std::uint32_t word, std::uint64_t to) { __atomic_store_n(&bits[word].live, to, __ATOMIC_RELAXED); }
  void flip(std::uint32_t index) {
    set_live_bits(index / 64, live_bits(index / 64) ^ std::uint64_t{1} << (index % 64));
  }

  // For the owner and whoever holds the lock:
  void make_live(std::uint32_t index) {
    flip(index);
    ++live;
  }
  void make_dead(std::uint32_t index) {
    flip(index);
    --live;
    if (index / 64 < hint) hint = index / 64;
  }

  /// A free cell, live from now on. There is one.
  std::uint32_t take() {
    std::uint32_t word = hint;
    std::uint64_t old = live_bits(word);
    while (old == ~std::uint64_t{0}) old = live_bits(++word);
    hint = word;
    set_live_bits(word, old | (old + 1));
    ++live;
    return word * 64 + static_cast<std::uint32_t>(std::countr_one(old));
  }

  /// The 64 cells, or all, that other threads freed are free for whoever allocates here.
  void collect(std::uint32_t word) noexcept;
  void collect() noexcept;

  /// Finds out what `live` is.
  void recount() noexcept;

  /// For other threads: the cell is dead from now on. False if it has been so.
  bool free_remotely(std::uint32_t index) noexcept {
    const std::uint64_t bit = std::uint64_t{1} << (index % 64);
    return (__atomic_fetch_or(&bits[index / 64].remote, bit, __ATOMIC_SEQ_CST) & bit) == 0;
  }

  /// A descriptor without a place yet, all cells free; one of `retired`, if it has any, else a new one.
  /// nullptr, with errno set, if the kernel refuses. All of one list have the same capacity.
  static span* describe(span*& retired, std::uint8_t kind, std::size_t cell_size,
                        std::uint32_t capacity) noexcept;
};

/// All spans of one cell size and kind: those that threads own and those that are nobody's. Any thread may use it.
class cell_pool {
 public:
  /// `cell_size` is a multiple of 16. Threads keep what they own in the cache of that index.
  constexpr cell_pool(std::uint8_t kind, std::size_t cell_size, std::size_t granules_per_span, std::uint8_t cache)
      : cell_size_(cell_size), granules_(granules_per_span), kind_(kind), cache_(cache) {}

  /// A free cell, live from now on; zero. Throws memory_error.
  void* allocate();

  /// The same; nullptr, with `why` filled in, instead of an exception.
  void* try_allocate(arch::region::failure& why) noexcept {
    void* const cell = try_own();
    return cell != nullptr ? cell : allocate_elsewhere(why);
  }

  /// The same from what this thread owns; nullptr if there is none at hand.
  [[gnu::always_inline]] void* try_own() noexcept {
    thread_caches& mine = my_caches();
    const visit here(mine);
    if (!here.allowed()) return nullptr;
    span_list& owned = mine.of[cache_].owned;
    span* const s = owned.first;
    if (s == nullptr || s->is_full()) return nullptr;
    owned.empty -= s->live == 0;
    return reinterpret_cast<void*>(s->cell(s->take()));
  }

  /// The cell is free, its bytes are zero. Of spans without a live cell, each thread and the pool keep one; others go
  /// back to the region. False, and nothing changed, if it was not live.
  bool release(span& of, std::uint32_t index) noexcept;

  /// The cell at `begin` in a span of exactly this shape: put there if the granules are free. False, and
  /// nothing changed, if the cell is live, the granules belong to something else, or a thread owns them that
  /// cannot be stopped. Throws memory_error.
  bool claim(std::uintptr_t begin, const span_shape& home);

  /// The span goes back to the region. False if it has a live cell, or an owner that cannot be stopped.
  bool drop(span& idle) noexcept;

  /// In a child of fork: its parent allocates where there is still room.
  void forget_available() noexcept { available_ = {}; }

  /// What the thread of the cache owns is nobody's.
  void take_back(cell_cache& of) noexcept;

  /// While it is held no span goes back to the region.
  arch::spin_lock& lock() noexcept { return lock_; }

  std::size_t cell_size() const noexcept { return cell_size_; }
  std::size_t span_size() const noexcept { return granules_ * arch::granule_size; }

 private:
  // With the lock held:
  bool pick_up(span& s) noexcept;
  void put_down(span& s) noexcept;
  void disown(span& s) noexcept;
  void own(span& s) noexcept;
  void* try_available(bool may_own) noexcept;
  void* take_cell(span& picked_up, bool may_own) noexcept;
  void retire(span& empty) noexcept;

  // With the lock free:
  void* allocate_elsewhere(arch::region::failure& why) noexcept;
  bool release_wide(span& of, std::uint32_t index) noexcept;
  bool release_own(span& of, std::uint32_t index) noexcept;
  void give_away(span& surplus) noexcept;
  bool release_elsewhere(span& of, std::uint32_t index) noexcept;
  bool release_remotely(span& of, std::uint32_t index) noexcept;
  bool release_unowned(span& of, std::uint32_t index) noexcept;
  span* describe(arch::region::failure& why) noexcept;
  void retire_descriptor(span& unplaced) noexcept;

  arch::spin_lock lock_;
  span_list available_;      ///< nobody's spans with a free cell; none that is_home()
  span* retired_ = nullptr;  ///< descriptors without a place
  std::size_t cell_size_;
  std::size_t granules_;
  std::uint8_t kind_;
  std::uint8_t cache_;
};

STACKLESS_END
