#pragma once

/// One flow sends, another receives: what several rows measure, each with a channel of its own kind.

#include "row.hpp"

namespace perf {

/// Moves the code behind it by so many bytes from the beginning of a line of the cache.
template <int Bytes>
[[gnu::always_inline]] inline void move_code() {
#if defined(__x86_64__)
  constexpr int nop = 1;
#elif defined(__aarch64__)
  constexpr int nop = 4;
#endif
  asm volatile(".p2align 6\n\t.rept %c0\n\tnop\n\t.endr" ::"i"(Bytes / nop));
}

/// Sends 1, 2, 3..., and 0 for the end. Another `Layout` is the same code at other places, the sender's and the receiver's
/// by another distance; 0: where the compiler has put it.
// Inlined into its row, as a program's own loop would be.
template <class Kind, int Layout = 0>
[[gnu::always_inline]] inline void send_messages(benchmark::State& state, typename Kind::template channel<long>& c) {
  long sum = 0, sent = 0, expected = 0;
  bool receives = true;
  Kind::start([&] {
    if constexpr (Layout != 0) move_code<24 * Layout % 64>();
    while (const long value = c.receive()) sum += value;
    receives = false;
  });
  Kind::yield();
  if constexpr (Layout != 0) move_code<8 * Layout % 64>();
  for (auto _ : state) {
    c.send(++sent);
    expected += sent;
  }
  c.send(0);
  while (receives) Kind::yield();
  finish(state, 1, sum == expected);
}

}  // namespace perf
