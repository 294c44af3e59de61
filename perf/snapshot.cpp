// Saving tasklets and bringing them back, in memory.

#include <chrono>
#include <cstddef>
#include <memory_resource>
#include <stackless/heap.hpp>
#include <stackless/scheduler.hpp>
#include <stackless/snapshot.hpp>
#include <stackless/tasklet.hpp>
#include <string>
#include <utility>
#include <vector>

#include "groups.hpp"
#include "row.hpp"

namespace perf {
namespace {

/// What the tasklets compute. Not theirs, so not in the snapshot.
long result = 0;

/// The sum of 1 to `depth`, from as many frames; the deepest waits to be saved.
[[gnu::noinline]] long recurse(long depth) {
  if (depth == 0) {
    stackless::schedule_remove();
    return 0;
  }
  const long below = recurse(depth - 1);
  asm volatile("" ::: "memory");  // else the compiler makes a loop of it
  return below + depth;
}

void recursion(long depth) {
  result = recurse(depth);
}

/// Holds as many tasklets, each of which waits to add its number.
template <stackless::stack kind>
void crowd(long size) {
  std::pmr::vector<stackless::tasklet> all(stackless::heap::memory_resource());
  for (long i = 1; i <= size; ++i) {
    all.push_back(stackless::tasklet({.stack = kind}, [i] {
      stackless::schedule_remove();
      result += i;
    }));
  }
  stackless::schedule_remove();
  result = 0;
  for (stackless::tasklet& each : all) each.insert();
}

/// The tasklet that waits to be saved.
stackless::tasklet parked(void (*f)(long), long size) {
  stackless::tasklet t(f, size);
  stackless::run();
  return t;
}

/// Whether it computes what it must when it goes on. Afterwards nothing of it is left.
bool goes_on(stackless::tasklet t, long size) {
  result = -1;
  t.insert();
  stackless::run();
  return !t.alive() && result == size * (size + 1) / 2;
}

void save(benchmark::State& state, void (*f)(long), long size) {
  stackless::tasklet t = parked(f, size);
  std::vector<std::byte> saved;
  for (auto _ : state) saved = stackless::dumps(t);
  bool right = goes_on(std::move(t), size);
  right = goes_on(stackless::loads(saved), size) && right;
  state.counters[bytes] = static_cast<double>(saved.size());
  finish(state, 1, right);
}

void load(benchmark::State& state, void (*f)(long), long size) {
  stackless::tasklet t = parked(f, size);
  const std::vector<std::byte> saved = stackless::dumps(t);
  bool right = goes_on(std::move(t), size);
  for (auto _ : state) {
    const auto begin = std::chrono::steady_clock::now();
    stackless::tasklet loaded = stackless::loads(saved);
    const std::chrono::duration<double> took = std::chrono::steady_clock::now() - begin;
    state.SetIterationTime(took.count());
    right = goes_on(std::move(loaded), size) && right;
  }
  finish(state, 1, right);
}

void add_both(const plan& p, const std::string& what, const std::string& who, void (*f)(long), long size) {
  add(p, "snapshot/save " + what, who, save, f, size);
  add(p, "snapshot/load " + what, who, load, f, size)->UseManualTime();
}

}  // namespace

void add_snapshot(const plan& p) {
  if (p.stage != stage::one_thread) return;
  add_both(p, "a recursion 9 deep", "stackless", recursion, 9);
  add_both(p, "10,000 tasklets", "stackless", crowd<stackless::stack::own>, 10'000);
  add_both(p, "10,000 tasklets", "stackless, sliced", crowd<stackless::stack::sliced>, 10'000);
}

}  // namespace perf
