#pragma once

/// The picklable heap: memory that a snapshot can carry.
///
///   std::pmr::vector<int> v(stackless::heap::memory_resource());
///   v.push_back(1);               // reachable from a tasklet's stack, so saved with it
///
/// A program that links stackless::heap_new has every operator new and every exception served from it and need not
/// name it. Blocks are aligned to 16 bytes.
///
/// Any thread may allocate, and free what any other has allocated, from before the first static constructor until after
/// the last destructor. For blocks up to 32 KiB each thread has memory of its own, which it allocates from and frees in
/// without a lock; when it ends, others use what it leaves. A child of fork() may free all that it inherits, whichever
/// thread it was of, and allocates elsewhere.

#include <cstddef>
#include <memory>
#include <memory_resource>
#include <new>
#include <utility>

#include <stackless/config.hpp>
#include <stackless/memory_error.hpp>

STACKLESS_BEGIN
namespace heap {

/// At least `bytes` bytes, aligned to `alignment` (a power of two). Throws memory_error.
[[nodiscard]] void* allocate(std::size_t bytes, std::size_t alignment = 16);

/// Gives back what allocate gave; nullptr is ignored. An address that is not the start of a live block stops the
/// program with a message: the heap would be damaged otherwise.
void deallocate(void* block) noexcept;

/// How many bytes of the block at `block` may be used.
std::size_t usable_size(const void* block) noexcept;

/// The heap for std::pmr containers. Lives for ever.
std::pmr::memory_resource* memory_resource() noexcept;

/// Owns an object in a block of its own.
template <class T>
struct deleter {
  void operator()(T* object) const {
    std::destroy_at(object);
    deallocate(object);
  }
};
template <class T>
using owned = std::unique_ptr<T, deleter<T>>;

/// A new T in such a block. Throws memory_error, and what the constructor throws.
template <class T, class... Args>
owned<T> make(Args&&... args) {
  constexpr auto free = [](void* block) { deallocate(block); };
  std::unique_ptr<void, decltype(free)> block(allocate(sizeof(T), alignof(T)));
  T* object = new (block.get()) T(std::forward<Args>(args)...);
  static_cast<void>(block.release());
  return owned<T>(object);
}

}  // namespace heap
STACKLESS_END
