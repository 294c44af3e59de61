#include "report.hpp"

#include <algorithm>
#include <cstdio>
#include <iostream>

#include "row.hpp"

namespace perf {
namespace {

double quantile(std::vector<double> values, double q) {
  if (values.empty()) return 0;
  std::sort(values.begin(), values.end());
  return values[static_cast<std::size_t>(q * static_cast<double>(values.size() - 1) + 0.5)];
}

double median(const std::vector<double>& values) {
  return quantile(values, 0.5);
}

/// Half of what lies between the quartiles, in percent of the median.
double spread(const std::vector<double>& values) {
  return 50 * (quantile(values, 0.75) - quantile(values, 0.25)) / median(values);
}

std::string cell(double value, double unit, int digits) {
  char text[32];
  if (value == 0 || unit == 0) return "-";
  std::snprintf(text, sizeof text, "%.*f", digits, value / unit);
  return text;
}

}  // namespace

bool report::ReportContext(const Context& machine) {
  PrintBasicContext(&std::cerr, machine);
  return true;
}

void report::ReportRuns(const std::vector<Run>& runs) {
  for (const Run& run : runs) {
    if (run.run_type != Run::RT_Iteration) continue;
    if (run.error_occurred) {
      std::cerr << run.benchmark_name() << ": " << run.error_message << '\n';
      continue;
    }
    row& r = row_of(run);
    r.nanoseconds.push_back(run.GetAdjustedRealTime() / run.counters.at(operations));
    if (const auto found = run.counters.find(bytes); found != run.counters.end()) {
      r.bytes.push_back(found->second.value);
    }
  }
}

void report::print() const {
  const double f = median_of(fcontext_row), call = median_of(call_row);
  std::printf("%-34s %10s %6s %8s %9s %8s\n", "", "ns", "+-%", "F", "call+ret", "bytes");
  for (const row& r : rows_) {
    const double ns = median(r.nanoseconds);
    std::printf("%-34s %10.2f %6.1f %8s %9s %8s\n", r.name.c_str(), ns, spread(r.nanoseconds),
                cell(ns, f, 2).c_str(), cell(ns, call, 2).c_str(), cell(median(r.bytes), 1, 0).c_str());
  }
}

report::row& report::row_of(const Run& run) {
  std::string name = run.run_name.function_name;
  if (!run.run_name.args.empty()) name += ", " + run.run_name.args;
  const auto same = std::find_if(rows_.begin(), rows_.end(), [&](const row& r) { return r.name == name; });
  if (same != rows_.end()) return *same;
  const auto later =
      std::find_if(rows_.begin(), rows_.end(), [&](const row& r) { return r.family > run.family_index; });
  return *rows_.insert(later, row{std::move(name), run.family_index, {}, {}});
}

double report::median_of(std::string_view name) const {
  for (const row& r : rows_) {
    if (r.name == name) return median(r.nanoseconds);
  }
  return 0;
}

}  // namespace perf
