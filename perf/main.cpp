// stackless-perf: runs all rows, interleaved, and prints what they took. `--smoke` runs each but once.

#include <benchmark/benchmark.h>

#include <cstdio>
#include <string>
#include <string_view>
#include <vector>

#include "groups.hpp"
#include "machine.hpp"
#include "report.hpp"
#include "row.hpp"

int main(int argc, char** argv) {
  bool smoke = false;
  std::string json;
  std::vector<char*> given;
  for (int i = 1; i < argc; ++i) {
    const std::string_view option = argv[i], out = "--benchmark_out=";
    if (option == "--smoke") {
      smoke = true;
    } else if (option.starts_with(out)) {
      json = option.substr(out.size());  // Google Benchmark would write each stage over the one before
    } else {
      given.push_back(argv[i]);
    }
  }

  std::vector<const char*> options = {argv[0]};
  if (smoke) {
    options.push_back("--benchmark_min_time=0.000001");
  } else {
    options.insert(options.end(), {"--benchmark_enable_random_interleaving=true",
                                   "--benchmark_repetitions=25", "--benchmark_min_time=0.05"});
  }
  // The last of two options counts.
  options.insert(options.end(), given.begin(), given.end());
  int count = static_cast<int>(options.size());
  benchmark::Initialize(&count, const_cast<char**>(options.data()));
  if (benchmark::ReportUnrecognizedArguments(count, const_cast<char**>(options.data()))) return 2;

  perf::pin();
  perf::describe_machine();
  perf::report report;
  std::size_t matched = 0;
  for (const perf::stage stage : {perf::stage::one_thread, perf::stage::several_threads}) {
    perf::add_all({stage, smoke});
    matched += benchmark::RunSpecifiedBenchmarks(&report);
    benchmark::ClearRegisteredBenchmarks();
  }
  if (matched == 0) {
    std::fprintf(stderr, "stackless-perf: error: no row has such a name\n");
    return 2;
  }
  report.print();
  if (!json.empty() && !report.write(json)) {
    std::perror(("stackless-perf: error: " + json).c_str());
    return 1;
  }
  return perf::all_right ? 0 : 1;
}
