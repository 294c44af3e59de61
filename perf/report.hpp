#pragma once

/// The table at the end: medians, as multiples of F and of a call.

#include <benchmark/benchmark.h>

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace perf {

class report : public benchmark::BenchmarkReporter {
 public:
  bool ReportContext(const Context& machine) override;
  void ReportRuns(const std::vector<Run>& runs) override;

  /// To stdout, after the last run.
  void print() const;

 private:
  struct row {
    std::string name;
    std::int64_t family;
    std::vector<double> nanoseconds;  ///< for one operation, in each repetition
    std::vector<double> bytes;
  };

  row& row_of(const Run&);
  double median_of(std::string_view name) const;

  std::vector<row> rows_;  ///< in the order in which they are registered, not that in which they ran
};

}  // namespace perf
