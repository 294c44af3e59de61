// How much memory a flow takes that waits on a channel.

#include <malloc.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>

#include "flows/flows.hpp"
#include "groups.hpp"
#include "row.hpp"

namespace perf {
namespace {

double resident_bytes() {
  long pages = 0;
  std::FILE* const statm = std::fopen("/proc/self/statm", "r");
  if (statm == nullptr) return 0;
  if (std::fscanf(statm, "%*d %ld", &pages) != 1) pages = 0;
  std::fclose(statm);
  return static_cast<double>(pages * sysconf(_SC_PAGESIZE));
}

template <class Kind>
void parked(benchmark::State& state, long flows) {
  // What was parked before may have left memory to be used again, so the most of all repetitions counts.
  static double grown = 0;
  malloc_trim(0);
  bool right = true;
  for (auto _ : state) {
    const double before = resident_bytes();
    typename Kind::template channel<long> c;
    long begun = 0, ended = 0, woken = 0;
    for (long i = 0; i < flows; ++i) {
      Kind::start([&] {
        ++begun;
        woken += c.receive();
        ++ended;
      });
    }
    while (begun != flows) Kind::yield();
    grown = std::max(grown, resident_bytes() - before);
    right = right && ended == 0;
    for (long i = 0; i < flows; ++i) c.send(1);
    while (ended != flows) Kind::yield();
    right = right && woken == flows;
  }
  state.counters[bytes] = grown / static_cast<double>(flows);
  finish(state, static_cast<double>(flows), right);
}

}  // namespace

void add_memory(const plan& p) {
  for_each_kind(p.stage, [&]<class Kind>() {
    if constexpr (has_scheduler<Kind>) {
      add(p, "memory/10,000 begin, park, wake, end", Kind::name, parked<Kind>, 10'000)->Iterations(1);
    }
  });
}

}  // namespace perf
