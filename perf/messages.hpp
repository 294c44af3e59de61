#pragma once

/// One flow sends, another receives: what several rows measure, each with a channel of its own kind.

#include "row.hpp"

namespace perf {

/// The receiver ends by what is false.
// Inlined into its row, as a program's own loop would be.
template <class Kind>
[[gnu::always_inline]] inline void send_messages(benchmark::State& state, typename Kind::template channel<long>& c) {
  long sum = 0, sent = 0, expected = 0;
  bool receives = true;
  Kind::start([&] {
    while (const long value = c.receive()) sum += value;
    receives = false;
  });
  Kind::yield();
  for (auto _ : state) {
    c.send(++sent);
    expected += sent;
  }
  c.send(0);
  while (receives) Kind::yield();
  finish(state, 1, sum == expected);
}

}  // namespace perf
