#pragma once

/// The library, as a program uses it, with either kind of stack.

#include <stackless/channel.hpp>
#include <stackless/scheduler.hpp>
#include <stackless/tasklet.hpp>
#include <utility>

namespace perf {

template <stackless::stack kind>
struct tasklets_on {
  static constexpr const char* name = kind == stackless::stack::own ? "stackless" : "stackless, sliced";
  static constexpr stackless::tasklet_options options{.stack = kind};

  template <class T>
  using channel = stackless::channel<T>;
  template <class T>
  using buffered_channel = stackless::channel<T>;

  template <class F>
  static void start(F f) {
    stackless::tasklet(options, std::move(f));
  }
  template <class F>
  static void start_now(F f) {
    stackless::tasklet::bound(options, std::move(f)).run();
  }
  [[gnu::always_inline]] static void yield() { stackless::schedule(); }

  static void life(long& count) {
    stackless::tasklet(options, [&count] { ++count; });
    stackless::run();
  }
};

using tasklets = tasklets_on<stackless::stack::own>;
using sliced_tasklets = tasklets_on<stackless::stack::sliced>;

}  // namespace perf
