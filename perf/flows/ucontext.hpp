#pragma once

/// swapcontext() of POSIX, which asks the kernel for the signal mask at every switch.

#include <ucontext.h>

#include <cstdint>

#include "stack.hpp"

namespace perf {

struct ucontext {
  static constexpr char name[] = "ucontext";

  template <class Calls>
  class partner {
   public:
    partner() { prepare(there_, stack_, nullptr, run, this); }
    partner(const partner&) = delete;
    partner& operator=(const partner&) = delete;

    void resume() { swapcontext(&here_, &there_); }
    long count() const { return count_; }

   private:
    static void run(unsigned high, unsigned low) {
      auto& self = *joined<partner>(high, low);
      for (;;) {
        ++self.count_;
        Calls::call([&] { swapcontext(&self.there_, &self.here_); });
      }
    }

    stack stack_;
    ucontext_t here_, there_;
    long count_ = 0;
  };

  /// On a stack that was used before.
  static void life(long& count) {
    static const stack reused;
    ucontext_t here, there;
    prepare(there, reused, &here, [](unsigned high, unsigned low) { ++*joined<long>(high, low); }, &count);
    swapcontext(&here, &there);
  }

 private:
  static void prepare(ucontext_t& context, const stack& on, ucontext_t* after, void (*run)(unsigned, unsigned),
                      void* argument) {
    getcontext(&context);
    context.uc_link = after;
    context.uc_stack.ss_sp = on.base();
    context.uc_stack.ss_size = stack::size;
    const auto word = reinterpret_cast<std::uintptr_t>(argument);
    makecontext(&context, reinterpret_cast<void (*)()>(run), 2, static_cast<unsigned>(word >> 32),
                static_cast<unsigned>(word));
  }

  /// Only an int is sure to arrive.
  template <class T>
  static T* joined(unsigned high, unsigned low) {
    return reinterpret_cast<T*>(std::uintptr_t{high} << 32 | low);
  }
};

}  // namespace perf
