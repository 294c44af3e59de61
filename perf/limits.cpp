// How much memory a parked tasklet takes that has a stack of its own.

#include <unistd.h>

#include <cstdio>
#include <stackless/channel.hpp>
#include <stackless/scheduler.hpp>
#include <stackless/tasklet.hpp>

#include "row.hpp"

namespace {

double resident_bytes() {
  long pages = 0;
  std::FILE* const statm = std::fopen("/proc/self/statm", "r");
  if (statm == nullptr) return 0;
  if (std::fscanf(statm, "%*d %ld", &pages) != 1) pages = 0;
  std::fclose(statm);
  return static_cast<double>(pages * sysconf(_SC_PAGESIZE));
}

void parked(benchmark::State& state) {
  const int tasklets = static_cast<int>(state.range(0));
  double grown = 0;
  bool right = true;
  for (auto _ : state) {
    const double before = resident_bytes();
    stackless::channel<int> c;
    int woken = 0;
    for (int i = 0; i < tasklets; ++i) {
      stackless::tasklet([&] { woken += c.receive(); });
    }
    stackless::run();
    grown = resident_bytes() - before;
    right = right && c.balance() == -tasklets;
    while (c.balance() < 0) c.send(1);
    right = right && woken == tasklets;
  }
  state.counters[perf::bytes] = grown / tasklets;
  perf::finish(state, tasklets, right);
}
BENCHMARK(parked)->Name("spawn, park, wake, end")->ArgName("tasklets")->Arg(10'000)->Iterations(1);

}  // namespace
