#pragma once

/// What is left of a run: a table of medians, and a file with everything for report.py.

#include <benchmark/benchmark.h>

#include <ostream>
#include <string_view>
#include <vector>

namespace perf {

class report : public benchmark::BenchmarkReporter {
 public:
  report();

  bool ReportContext(const Context& machine) override;
  void ReportRuns(const std::vector<Run>& runs) override;

  /// To stdout, in the order in which the rows were added.
  void print() const;

  /// As JSON in the form of Google Benchmark. False if it could not be written.
  bool write(std::ostream& file) const;

 private:
  /// Those of one row.
  std::vector<Run> runs_of(std::string_view row) const;
  double median_of(std::string_view row) const;

  std::vector<Run> runs_;
  std::ostream nowhere_{nullptr};
  bool introduced_ = false;
};

}  // namespace perf
