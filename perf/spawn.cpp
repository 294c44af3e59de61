// The whole life of a flow of control.

#include "flows/flows.hpp"
#include "groups.hpp"
#include "row.hpp"

namespace perf {
namespace {

template <class Kind>
void one_life(benchmark::State& state) {
  long count = 0, expected = 0;
  for (auto _ : state) {
    Kind::life(count);
    ++expected;
  }
  finish(state, 1, count == expected);
}

template <class Kind>
void start_and_yield(benchmark::State& state) {
  long count = 0, expected = 0;
  for (auto _ : state) {
    Kind::start([&count] { ++count; });
    Kind::yield();
    ++expected;
  }
  finish(state, 1, count == expected);
}

}  // namespace

void add_spawn(const plan& p) {
  for_each_kind(p.stage, [&]<class Kind>() {
    if constexpr (has_life<Kind>) add(p, "spawn/begin, run, end", Kind::name, one_life<Kind>);
  });
  for_each_kind(p.stage, [&]<class Kind>() {
    if constexpr (has_scheduler<Kind>) add(p, "spawn/begin, yield to it, end", Kind::name, start_and_yield<Kind>);
  });
}

}  // namespace perf
