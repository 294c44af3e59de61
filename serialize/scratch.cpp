#include "serialize/scratch.hpp"

#include <cstdlib>
#include <new>

STACKLESS_BEGIN
namespace snapshot {

namespace {

class malloc_resource final : public std::pmr::memory_resource {
  void* do_allocate(std::size_t bytes, std::size_t alignment) override {
    void* block = alignment <= alignof(std::max_align_t)
                      ? std::malloc(bytes)
                      : std::aligned_alloc(alignment, (bytes + alignment - 1) / alignment * alignment);
    if (block == nullptr) throw std::bad_alloc();
    return block;
  }
  void do_deallocate(void* block, std::size_t, std::size_t) override { std::free(block); }
  bool do_is_equal(const std::pmr::memory_resource& other) const noexcept override { return this == &other; }
};

// Used before static constructors and after static destructors, so it is never destroyed.
union immortal {
  malloc_resource resource;
  constexpr immortal() : resource() {}
  ~immortal() {}
};

constinit immortal instance;

}  // namespace

std::pmr::memory_resource* scratch() noexcept {
  return &instance.resource;
}

}  // namespace snapshot
STACKLESS_END
