// stackless-perf: runs all rows, interleaved, and prints what they took. `--smoke` runs each but once.

#include <benchmark/benchmark.h>

#include <cstdio>
#include <fstream>
#include <string>
#include <string_view>
#include <vector>

#include "groups.hpp"
#include "machine.hpp"
#include "report.hpp"
#include "row.hpp"

namespace {

void help() {
  std::puts(
      "usage: stackless-perf [--smoke] [options of Google Benchmark]\n\n"
      "Measures the library, and others beside it, on one core. With --smoke each row runs but once.\n"
      "Exit status: 0 done, 1 a row computed something wrong, 2 usage. Of Google Benchmark:\n");
  benchmark::PrintDefaultHelp();
}

}  // namespace

int main(int argc, char** argv) {
  bool smoke = false;
  std::string out;
  std::vector<char*> given;
  for (int i = 1; i < argc; ++i) {
    const std::string_view option = argv[i], to_file = "--benchmark_out=";
    if (option == "--smoke") {
      smoke = true;
    } else if (option.starts_with(to_file)) {
      out = option.substr(to_file.size());  // Google Benchmark would write each stage over the one before
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
  benchmark::Initialize(&count, const_cast<char**>(options.data()), help);
  if (benchmark::ReportUnrecognizedArguments(count, const_cast<char**>(options.data()))) return 2;

  std::ofstream json;
  if (!out.empty()) json.open(out);
  if (json.fail()) {
    std::perror(("stackless-perf: error: " + out).c_str());
    return 1;
  }

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
  if (json.is_open() && !report.write(json)) {
    std::fprintf(stderr, "stackless-perf: error: %s: not written\n", out.c_str());
    return 1;
  }
  return perf::all_right ? 0 : 1;
}
