#pragma once

/// What a word stands for in this process, and back.
///
/// Inside the region a word means what its address leads to, in every process; that is the closure's business. This
/// is about all other words: those that mean something else in each process.

#include <unistd.h>

#include <cstdint>
#include <memory_resource>
#include <unordered_map>

#include "arch/region.hpp"
#include "serialize/image.hpp"
#include "serialize/modules.hpp"

STACKLESS_BEGIN
namespace snapshot {

/// Restored in place of a word that led out of the snapshot: addresses that nothing is ever mapped at, so that using
/// one faults at a place that tells what it was. They lie where the region is kept empty.
inline constexpr std::uintptr_t poison_begin = ((arch::region_begin >> 32) + 1) << 32;
inline constexpr std::uintptr_t poison_end = poison_begin + arch::boundary_margin;
inline constexpr std::uintptr_t poison_of(meaning m) {
  return poison_begin + static_cast<std::uintptr_t>(m) * arch::granule_size;
}

/// What `word`, found in this process, stands for. Module indices are those of modules().
class classifier {
 public:
  /// Words inside the region are data here, but for poison.
  value classify(std::uintptr_t word);

  const loaded_modules& modules() const { return modules_; }

 private:
  bool mapped(std::uintptr_t word);

  loaded_modules modules_;
  const std::uintptr_t page_ = static_cast<std::uintptr_t>(getpagesize());
  std::pmr::unordered_map<std::uintptr_t, bool> mapped_{scratch()};  ///< by page: whether there is one
};

/// The thread pointer of the running thread.
std::uintptr_t thread_pointer();

/// The value that the stack protector puts into frames.
std::uintptr_t canary();

}  // namespace snapshot
STACKLESS_END
