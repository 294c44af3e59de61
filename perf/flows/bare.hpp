#pragma once

/// The library's switch alone, without a scheduler: inlined where it is used, or called.

#include <stackless/switch.hpp>

#include "stack.hpp"

namespace perf {

template <class Way>
struct bare {
  static constexpr const char* name = Way::name;

  template <class Calls>
  class partner {
   public:
    partner() { flow_.there = stackless::arch::fresh_context(stack_.top(), run); }

    [[gnu::always_inline]] void resume() { Way::go(&flow_.here, &flow_.there); }
    long count() const { return flow_.count; }

   private:
    struct flow {
      stackless::arch::context there{};  // first: its address is handed to `run`
      stackless::arch::context here{};
      long count = 0;
    };

    [[noreturn]] static stackless::arch::context* run(stackless::arch::context* self) {
      auto* f = reinterpret_cast<flow*>(self);
      for (;;) {
        ++f->count;
        Calls::call([&] { f = reinterpret_cast<flow*>(Way::go(&f->there, &f->here)); });
      }
    }

    stack stack_;
    flow flow_;
  };
};

struct switch_inline {
  static constexpr char name[] = "stackless, inline";
  [[gnu::always_inline]] static stackless::arch::context* go(stackless::arch::context* from,
                                                             stackless::arch::context* to) {
    return stackless::arch::switch_to(from, to);
  }
};
struct switch_called {
  static constexpr char name[] = "stackless, out of line";
  [[gnu::always_inline]] static stackless::arch::context* go(stackless::arch::context* from,
                                                             stackless::arch::context* to) {
    return stackless::arch::switch_out_of_line(from, to);
  }
};

}  // namespace perf
