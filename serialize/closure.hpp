#pragma once

/// What a snapshot has to carry: everything that can be reached from the tasklets asked for.
///
/// Words are followed conservatively: from the live part of a stack into live blocks of the heap, and from there on.
/// Another tasklet is reached only through a handle or the queue of a channel that is carried, never through the plain
/// address of its record or of its stack: compilers leave those in every frame that ever gave way.

#include <cstddef>
#include <cstdint>
#include <memory_resource>
#include <span>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include <stackless/detail/record.hpp>

#include "core/heap.hpp"
#include "serialize/scratch.hpp"

STACKLESS_BEGIN

class channel_base;
struct slot;

namespace snapshot {

/// What is live of a tasklet's stack, wherever it is now; empty if it has not started or is dead.
struct live_stack {
  std::uintptr_t begin = 0;  ///< its lowest address, when it is in place
  std::span<const std::byte> bytes;

  explicit live_stack(detail::record*);
};

class closure {
 public:
  /// Throws snapshot_error{not_restorable} if something reachable can never be saved.
  explicit closure(std::span<detail::record* const> roots);

  struct member {
    detail::record* record;
    std::uint32_t handles = 0;  ///< to it, in what is carried
  };

  /// The roots first, then in the order of discovery.
  std::span<const member> tasklets() const { return tasklets_; }
  /// By address.
  std::span<const heap::block> blocks() const { return blocks_; }

  /// Bytes of all their stacks, and of all blocks.
  std::size_t stack_bytes() const { return stack_bytes_; }
  std::size_t heap_bytes() const { return heap_bytes_; }

  bool carries(const detail::record* r) const { return index_.contains(r); }
  std::uint32_t index_of(const detail::record* r) const { return index_.at(r); }

  /// Does this word of the region lead to the record or the stack of a tasklet that is not carried?
  bool stays_behind(std::uintptr_t word) const;

 private:
  void add(detail::record*);
  void add_queue(const channel_base&);
  void visit(detail::record*);
  void scan(std::span<const std::byte> words);
  void follow(std::uintptr_t word);
  void refuse_main_in_queue() const;

  std::pmr::vector<member> tasklets_{scratch()};
  std::pmr::vector<heap::block> blocks_{scratch()};
  std::size_t stack_bytes_ = 0;
  std::size_t heap_bytes_ = 0;
  std::pmr::monotonic_buffer_resource nodes_{scratch()};  ///< of those that follow
  std::pmr::unordered_map<const detail::record*, std::uint32_t> index_{&nodes_};
  std::pmr::unordered_set<std::uintptr_t> known_{&nodes_};  ///< beginnings of `blocks_`
  std::pmr::unordered_set<const channel_base*> followed_{&nodes_};
  std::pmr::unordered_set<const slot*> shared_{&nodes_};  ///< those in which tasklets that are carried go on
};

}  // namespace snapshot
STACKLESS_END
