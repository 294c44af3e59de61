#pragma once

/// The region: one fixed range of addresses, the same in every process, that holds every stack slot and every
/// picklable block. It is divided into chunks, mapped on demand, and chunks into granules. A run of granules
/// has one owner, so that any word can be asked what it leads to in a few loads.
///
/// A process starts at a random chunk (STACKLESS_ARENA=<hexadecimal address> pins it) and grows upwards from
/// there, so that the states of two processes seldom want the same addresses. Nothing is reserved ahead.

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <stackless/config.hpp>
#include <stackless/memory_error.hpp>

STACKLESS_BEGIN
namespace arch {

#if STACKLESS_TSAN
// ThreadSanitizer keeps its shadow where the region lies otherwise; this is application memory in its map.
inline constexpr std::uintptr_t region_begin = 0x0010'0000'0000;
inline constexpr std::uintptr_t region_end = 0x0070'0000'0000;
#else
inline constexpr std::uintptr_t region_begin = 0x1000'8000'0000;
inline constexpr std::uintptr_t region_end = 0x1500'0000'0000;
#endif

inline constexpr std::size_t chunk_size = std::size_t{64} << 20;
inline constexpr std::size_t granule_size = std::size_t{64} << 10;

/// A 32-bit integer written over the lower half of a stale pointer makes a word that looks like an address
/// close to a 4 GiB boundary: this far on either side of each, nothing is ever placed.
inline constexpr std::size_t boundary_margin = std::size_t{16} << 20;

/// The longest run: what lies between the margins of two boundaries.
inline constexpr std::size_t largest_run = (std::size_t{1} << 32) - 2 * boundary_margin;

/// A run of granules with one owner. Owners derive their own descriptors from it.
struct extent {
  std::uintptr_t begin = 0;
  std::size_t size = 0;   ///< bytes, a multiple of granule_size
  std::uint8_t kind = 0;  ///< the owner's to choose; set before the run is taken
  bool guarded = false;   ///< a guard was installed in it

  std::uintptr_t end() const { return begin + size; }
};

namespace region {

inline constexpr std::size_t chunk_count = (region_end - region_begin) / chunk_size;
inline constexpr std::size_t granules_per_chunk = chunk_size / granule_size;
static_assert(region_begin % chunk_size == 0 && region_end % chunk_size == 0);

/// Who owns what, a pointer per granule, chunk by chunk. A chunk's bookkeeping begins with its granules'
/// owners.
using owners = std::atomic<extent*>[granules_per_chunk];
extern std::atomic<owners*> directory[chunk_count];

inline bool contains(std::uintptr_t word) {
  return word - region_begin < region_end - region_begin;
}

/// 1, and one more in each child of fork. What was placed in an earlier era stays where it is, but nothing
/// new is placed beside it: parent and child would place it at the same addresses.
extern std::uint32_t era;

/// Of what is at home in another process, and was put there by take_at.
inline constexpr std::uint32_t no_era = 0;

/// Why a run could not be had. Plain, because it is made where nothing can be thrown: under a lock, or in the
/// allocation of an exception.
struct failure {
  enum class cause : std::uint8_t { none, too_large, too_aligned, region_full, kernel, bad_arena };

  cause why = cause::none;
  int error = 0;               ///< errno, for `kernel`
  std::uintptr_t address = 0;  ///< 0: anywhere
  std::size_t bytes = 0;       ///< or, for `too_aligned`, the alignment

  /// Throws it as a memory_error.
  [[noreturn]] void raise() const;
};

/// Gives `taken` a run of `granules`, readable, writable and zero.
/// Throws memory_error.
void take(extent& taken, std::size_t granules);

/// The same; false, with `why` filled in, instead of an exception.
bool try_take(extent& taken, std::size_t granules, failure& why) noexcept;

/// Whether a run can be placed there at all.
bool may_hold(std::uintptr_t begin, std::size_t granules) noexcept;

/// The same at a given address. False, and nothing changed, if part of the run has an owner or may not be
/// used. Throws memory_error if the kernel refuses.
bool take_at(extent& taken, std::uintptr_t begin, std::size_t granules);

/// The same; `why` says whether the kernel refused (else its cause is none).
bool try_take_at(extent& taken, std::uintptr_t begin, std::size_t granules, failure& why) noexcept;

/// The run is free again, its guards are gone and its pages go back to the kernel.
void give_back(extent& taken) noexcept;

/// The pages go back to the kernel and read as zero from now on; guards among them stay.
void discard_pages(std::uintptr_t begin, std::size_t size) noexcept;

/// Whose run `word` lies in; nullptr if nobody's. Three loads; safe for any value of `word`.
inline extent* find(std::uintptr_t word) noexcept {
  if (!contains(word)) return nullptr;
  const std::uintptr_t offset = word - region_begin;
  owners* const chunk = directory[offset / chunk_size].load(std::memory_order_acquire);
  if (chunk == nullptr) return nullptr;
  return (*chunk)[offset % chunk_size / granule_size].load(std::memory_order_acquire);
}

/// The first owner of any granule in [begin, begin + size); nullptr if all are free.
extent* find_first(std::uintptr_t begin, std::size_t size) noexcept;

}  // namespace region
}  // namespace arch
STACKLESS_END
