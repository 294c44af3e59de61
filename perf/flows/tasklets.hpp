#pragma once

/// The library, as a program uses it.

#include <stackless/channel.hpp>
#include <stackless/scheduler.hpp>
#include <stackless/tasklet.hpp>
#include <utility>

namespace perf {

struct tasklets {
  static constexpr char name[] = "stackless";

  template <class T>
  using channel = stackless::channel<T>;
  template <class T>
  using buffered_channel = stackless::channel<T>;

  template <class F>
  static void start(F f) {
    stackless::tasklet(std::move(f));
  }
  template <class F>
  static void start_now(F f) {
    stackless::tasklet::bound(std::move(f)).run();
  }
  [[gnu::always_inline]] static void yield() { stackless::schedule(); }

  static void life(long& count) {
    stackless::tasklet([&count] { ++count; });
    stackless::run();
  }
};

}  // namespace perf
