#pragma once

/// The loaded ELF objects of this process, as the calling thread sees them.

#include <cstddef>
#include <cstdint>
#include <memory_resource>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "serialize/scratch.hpp"

STACKLESS_BEGIN
namespace snapshot {

struct loaded_module {
  std::uintptr_t begin = 0;  ///< lowest loaded address
  std::uintptr_t end = 0;    ///< one past the highest
  std::pmr::string path{scratch()};
  std::pmr::vector<std::byte> build_id{scratch()};  ///< GNU build-id; without one, XXH3-128 of the segments never written to
  std::uintptr_t writable = 0;      ///< where its variables begin; they go on to `end`
  std::uintptr_t tls = 0;           ///< the thread's block of its thread-local storage; 0: none, or not yet made
  std::size_t tls_size = 0;

  std::size_t size() const { return end - begin; }
};

class loaded_modules {
 public:
  /// The program is the first. Cheap unless something was loaded or another thread asks.
  static const loaded_modules& now();

  std::span<const loaded_module> all() const { return modules_; }

  /// The index of the module that `word` points into.
  std::optional<std::uint32_t> find(std::uintptr_t word) const;
  /// The index of the module whose thread-local storage `word` points into.
  std::optional<std::uint32_t> find_tls(std::uintptr_t word) const;
  /// The index of the module with this build-id.
  std::optional<std::uint32_t> find(std::span<const std::byte> build_id) const;

 private:
  std::pmr::vector<loaded_module> modules_{scratch()};
  std::uintptr_t low_ = 0, high_ = 0;  ///< of all of them
  std::uint64_t generation_ = 0;       ///< how many were ever loaded and unloaded
};

}  // namespace snapshot
STACKLESS_END
