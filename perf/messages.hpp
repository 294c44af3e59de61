#pragma once

/// One tasklet sends numbers, another receives them: what several rows measure, each on a channel of its own kind.

#include <stackless/channel.hpp>
#include <stackless/scheduler.hpp>
#include <stackless/tasklet.hpp>

#include "row.hpp"

namespace perf {

// Inlined into its row, as a program's own loop would be.
[[gnu::always_inline]] inline void send_messages(benchmark::State& state, stackless::channel<long>& c) {
  long sum = 0, sent = 0, expected = 0;
  stackless::tasklet receiver([&] {
    for (;;) sum += c.receive();
  });
  stackless::schedule();
  for (auto _ : state) {
    c.send(++sent);
    expected += sent;
  }
  const bool right = sum == expected;
  receiver.kill();
  finish(state, 1, right);
}

}  // namespace perf
