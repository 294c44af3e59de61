#pragma once

/// What every row does: it names how many operations an iteration is, and checks what the operations
/// computed.

#include <benchmark/benchmark.h>

namespace perf {

/// Counters of a row.
inline constexpr char operations[] = "ops";  ///< in one iteration
inline constexpr char bytes[] = "bytes";     ///< of memory for each, where that is the point

/// The row that is F, and the one that is a call with its return.
inline constexpr char fcontext_row[] = "switch/fcontext";
inline constexpr char call_row[] = "call+return";

/// The program fails if any row was wrong.
inline bool all_right = true;

/// Ends a row: an iteration was `per_iteration` operations, and `right` says whether their result was what it
/// must be.
void finish(benchmark::State& state, double per_iteration, bool right);

}  // namespace perf
