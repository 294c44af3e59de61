#pragma once

/// What allocates memory: the picklable heap, and what it is measured beside.

#include <cstddef>
#include <cstdlib>
#include <stackless/heap.hpp>

#if defined(STACKLESS_PERF_MIMALLOC)
#include <dlfcn.h>

#include <cstdio>
#endif

namespace perf {

struct picklable {
  static constexpr char name[] = "stackless";
  static void* allocate(std::size_t bytes) { return stackless::heap::allocate(bytes); }
  static void free(void* memory) { stackless::heap::deallocate(memory); }
};

struct glibc {
  static constexpr char name[] = "glibc";
  static void* allocate(std::size_t bytes) { return std::malloc(bytes); }
  static void free(void* memory) { std::free(memory); }
};

#if defined(STACKLESS_PERF_MIMALLOC)
/// Loaded and not linked: its library has a malloc too, which would take the place of glibc's.
class mimalloc {
 public:
  static constexpr char name[] = "mimalloc";
  static void* allocate(std::size_t bytes) { return loaded.allocate(bytes); }
  static void free(void* memory) { loaded.free(memory); }

 private:
  struct functions {
    void* (*allocate)(std::size_t);
    void (*free)(void*);
  };

  static functions load() {
    void* const library = dlopen(STACKLESS_PERF_MIMALLOC, RTLD_NOW | RTLD_LOCAL);
    if (library == nullptr) {
      std::fprintf(stderr, "stackless-perf: %s\n", dlerror());
      std::exit(1);
    }
    return {reinterpret_cast<void* (*)(std::size_t)>(dlsym(library, "mi_malloc")),
            reinterpret_cast<void (*)(void*)>(dlsym(library, "mi_free"))};
  }

  static inline const functions loaded = load();
};
#endif

/// Calls f<Allocator>() for each.
template <class F>
void for_each_allocator(F f) {
  f.template operator()<picklable>();
  f.template operator()<glibc>();
#if defined(STACKLESS_PERF_MIMALLOC)
  f.template operator()<mimalloc>();
#endif
}

}  // namespace perf
