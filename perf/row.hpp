#pragma once

/// What every row does: it has a name in three parts, says how many operations an iteration is, and checks what the
/// operations computed.

#include <benchmark/benchmark.h>

#include <string>
#include <string_view>
#include <vector>

#include "groups.hpp"

namespace perf {

/// Counters of a row.
inline constexpr char operations[] = "ops";  ///< in one iteration
inline constexpr char bytes[] = "bytes";     ///< of memory for each, where that is the point

/// The row that is F, and the one that is a call with its return.
inline constexpr char fcontext_row[] = "switch/ping-pong/fcontext";
inline constexpr char call_row[] = "limits/call and return/CPU";

/// The program fails if any row was wrong.
inline bool all_right = true;

/// All that were added, those of the same work side by side.
inline std::vector<std::string> rows;

/// Remembers the row "group/work/who", which is what report.py sorts and compares by, and returns its name.
std::string remember(std::string_view work, std::string_view who);

/// Adds the row, which runs function(state, arguments...). What counts is the time that the CPU worked for it, for the
/// core may have other work too; of several threads it is the time that passed.
template <class Function, class... Arguments>
benchmark::internal::Benchmark* add(const plan& p, std::string_view work, std::string_view who, Function function,
                                    Arguments... arguments) {
  auto* const row = benchmark::RegisterBenchmark(remember(work, who).c_str(), function, arguments...);
  return p.stage == stage::one_thread ? row : row->UseRealTime();
}

/// Ends a row: an iteration was `per_iteration` operations, and `right` says whether their result was what it
/// must be.
void finish(benchmark::State& state, double per_iteration, bool right);

}  // namespace perf
