// stackless-perf: runs all rows, interleaved, and prints what they took. `--smoke` runs each but once.

#include <benchmark/benchmark.h>

#include <string_view>
#include <vector>

#include "report.hpp"
#include "row.hpp"

int main(int argc, char** argv) {
  const bool smoke = argc > 1 && std::string_view(argv[1]) == "--smoke";
  std::vector<const char*> options = {argv[0]};
  if (smoke) {
    options.push_back("--benchmark_min_time=0.000001");
  } else {
    options.insert(options.end(), {"--benchmark_enable_random_interleaving=true",
                                   "--benchmark_repetitions=25", "--benchmark_min_time=0.05"});
  }
  // The last of two options counts.
  options.insert(options.end(), argv + 1 + smoke, argv + argc);

  int count = static_cast<int>(options.size());
  benchmark::Initialize(&count, const_cast<char**>(options.data()));
  if (benchmark::ReportUnrecognizedArguments(count, const_cast<char**>(options.data()))) return 2;
  perf::report report;
  benchmark::RunSpecifiedBenchmarks(&report);
  report.print();
  return perf::all_right ? 0 : 1;
}
