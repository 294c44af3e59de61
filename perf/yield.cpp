// Giving way through the ring: schedule().

#include <stackless/scheduler.hpp>
#include <stackless/tasklet.hpp>
#include <vector>

#include "row.hpp"

namespace {

void yield(benchmark::State& state) {
  const long tasklets = state.range(0);
  long rounds = 0, yields = 0;
  bool stop = false;
  for (long i = 1; i < tasklets; ++i) {
    stackless::tasklet([&] {
      while (!stop) {
        ++yields;
        stackless::schedule();
      }
    });
  }
  stackless::schedule();
  yields = 0;
  for (auto _ : state) {
    ++rounds;
    stackless::schedule();
  }
  const bool right = yields == rounds * (tasklets - 1);
  stop = true;
  stackless::run();
  perf::finish(state, static_cast<double>(tasklets), right);
}
BENCHMARK(yield)->Name("yield")->ArgName("tasklets")->Arg(2)->Arg(1000);

// Both sides are three calls deep when they give way, and return from them after it.
[[gnu::noinline]] void yield_from(int levels) {
  if (levels > 1) {
    yield_from(levels - 1);
  } else {
    stackless::schedule();
  }
  asm volatile("" ::: "memory");
}

void nested_callers(benchmark::State& state) {
  long rounds = 0, yields = 0;
  bool stop = false;
  stackless::tasklet([&] {
    while (!stop) {
      ++yields;
      yield_from(3);
    }
  });
  stackless::schedule();
  yields = 0;
  for (auto _ : state) {
    ++rounds;
    yield_from(3);
  }
  const bool right = yields == rounds;
  stop = true;
  stackless::run();
  perf::finish(state, 2, right);
}
BENCHMARK(nested_callers)->Name("yield/3 calls deep, 2 tasklets");

}  // namespace
