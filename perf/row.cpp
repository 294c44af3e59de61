#include "row.hpp"

namespace perf {

void finish(benchmark::State& state, double per_iteration, bool right) {
  state.counters[operations] = per_iteration;
  if (right) return;
  all_right = false;
  state.SkipWithError("wrong result");
}

}  // namespace perf
