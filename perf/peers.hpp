#pragma once

/// What is measured beside the library, in the same run.

#if defined(STACKLESS_PERF_FCONTEXT)

#include <boost/context/detail/fcontext.hpp>
#include <cstddef>
#include <memory>

namespace perf {

/// A flow of control of Boost.Context that counts how often it runs and comes back at once.
class fcontext_partner {
 public:
  static constexpr std::size_t stack_size = std::size_t{64} << 10;

  fcontext_partner() : stack_(std::make_unique<std::byte[]>(stack_size)) {
    there_ = boost::context::detail::make_fcontext(stack_.get() + stack_size, stack_size, run);
  }

  void resume() { there_ = boost::context::detail::jump_fcontext(there_, &count_).fctx; }
  long count() const { return count_; }

 private:
  [[noreturn]] static void run(boost::context::detail::transfer_t from) {
    for (;;) {
      ++*static_cast<long*>(from.data);
      from = boost::context::detail::jump_fcontext(from.fctx, nullptr);
    }
  }

  std::unique_ptr<std::byte[]> stack_;
  boost::context::detail::fcontext_t there_;
  long count_ = 0;
};

}  // namespace perf

#endif

#if defined(STACKLESS_PERF_MIMALLOC)

#include <dlfcn.h>

#include <cstddef>
#include <cstdio>
#include <cstdlib>

namespace perf {

/// mimalloc, loaded and not linked: its library has a malloc too, which would take the place of glibc's.
class mimalloc {
 public:
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

}  // namespace perf

#endif
