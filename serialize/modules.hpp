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
  std::size_t tls_size = 0;         ///< of its thread-local storage

  std::size_t size() const { return end - begin; }
};

class loaded_modules {
 public:
  /// Those of this moment. Cheap, unless something was loaded or unloaded since it was asked last.
  loaded_modules();

  /// The program is the first.
  std::span<const loaded_module> all() const { return list_->modules; }

  /// The thread's block of a module's thread-local storage; 0: it has none, or none yet.
  std::uintptr_t tls(std::size_t index) const { return tls_[index]; }

  /// The index of the module that `word` points into.
  std::optional<std::uint32_t> find(std::uintptr_t word) const;
  /// The index of the module whose thread-local storage `word` points into.
  std::optional<std::uint32_t> find_tls(std::uintptr_t word) const;
  /// The index of the module with this build-id.
  std::optional<std::uint32_t> find(std::span<const std::byte> build_id) const;

 private:
  struct list {
    std::pmr::vector<loaded_module> modules{scratch()};
    std::uintptr_t low = UINTPTR_MAX, high = 0;  ///< of all of them
    std::uint64_t generation = 0;                ///< how many were ever loaded and unloaded
  };

  static const list* newest();

  const list* list_ = newest();
  std::pmr::vector<std::uintptr_t> tls_{scratch()};
};

}  // namespace snapshot
STACKLESS_END
