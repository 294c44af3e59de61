// What it takes to give a slot to another sliced tasklet: the live bytes of one go out, those of the other come in.

#include <stackless/scheduler.hpp>
#include <stackless/tasklet.hpp>

#include <algorithm>
#include <array>
#include <cstddef>
#include <utility>

#include "groups.hpp"
#include "row.hpp"

namespace perf {
namespace {

constexpr int rounds = 1000;  // of each in one iteration

/// Two tasklets that take turns while main waits. Each has so many bytes of locals, and finds them as it left them.
template <std::size_t locals>
void take_turns(benchmark::State& state, stackless::stack kind) {
  stackless::share_slots({.count = 1});
  long turns = 0;
  bool stop = false, right = true;
  const auto body = [&](char mine) {
    std::array<char, locals> kept;
    kept.fill(mine);
    asm volatile("" : : "r"(kept.data()) : "memory");
    while (!stop) {
      for (int i = 0; i != rounds; ++i) stackless::schedule();
      turns += rounds;
      asm volatile("" : : "r"(kept.data()) : "memory");
      right = right && std::ranges::all_of(kept, [mine](char c) { return c == mine; });
      stackless::schedule_remove();
    }
  };
  stackless::tasklet a = stackless::tasklet::bound({.stack = kind}, body, 'a');
  stackless::tasklet b = stackless::tasklet::bound({.stack = kind}, body, 'b');
  const auto iterate = [&] {
    a.insert();
    b.insert();
    stackless::run();
  };
  iterate();
  turns = 0;
  long iterations = 0;
  for (auto _ : state) {
    ++iterations;
    iterate();
  }
  right = right && turns == iterations * 2 * rounds;
  stop = true;
  iterate();
  stackless::share_slots({});
  finish(state, 2 * rounds, right);
}

}  // namespace

void add_sliced(const plan& p) {
  if (p.stage != stage::one_thread) return;
  for (const auto& [kind, who] : {std::pair(stackless::stack::sliced, "stackless, sliced"),
                                  std::pair(stackless::stack::own, "stackless")}) {
    add(p, "sliced/out and in, 100 B of locals", who, take_turns<100>, kind);
    add(p, "sliced/out and in, 1 KB of locals", who, take_turns<1'000>, kind);
    add(p, "sliced/out and in, 8 KB of locals", who, take_turns<8'000>, kind);
  }
}

}  // namespace perf
