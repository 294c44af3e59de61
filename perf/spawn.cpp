// The whole life of a tasklet.

#include <stackless/scheduler.hpp>
#include <stackless/tasklet.hpp>

#include "row.hpp"

namespace {

void spawn_run_end(benchmark::State& state) {
  long count = 0, expected = 0;
  for (auto _ : state) {
    stackless::tasklet([&count] { ++count; });
    stackless::run();
    ++expected;
  }
  perf::finish(state, 1, count == expected);
}
BENCHMARK(spawn_run_end)->Name("spawn, run, end");

void spawn_schedule_end(benchmark::State& state) {
  long count = 0, expected = 0;
  for (auto _ : state) {
    stackless::tasklet([&count] { ++count; });
    stackless::schedule();
    ++expected;
  }
  perf::finish(state, 1, count == expected);
}
BENCHMARK(spawn_schedule_end)->Name("spawn, schedule, end");

}  // namespace
