#include "report.hpp"

#include <algorithm>
#include <cstdio>
#include <iostream>
#include <iterator>
#include <string>

#include "row.hpp"

namespace perf {
namespace {

using run = benchmark::BenchmarkReporter::Run;

double nanoseconds(const run& r) {
  const double time = r.run_name.time_type.empty() ? r.GetAdjustedCPUTime() : r.GetAdjustedRealTime();
  return time / r.counters.at(operations);
}

double memory(const run& r) {
  const auto found = r.counters.find(bytes);
  return found == r.counters.end() ? 0 : found->second.value;
}

/// Those that were measured, in order.
std::vector<double> sorted(const std::vector<run>& runs, double (*measure)(const run&)) {
  std::vector<double> values;
  for (const run& r : runs) {
    if (!r.error_occurred) values.push_back(measure(r));
  }
  std::sort(values.begin(), values.end());
  return values;
}

double median(const std::vector<double>& values) {
  return values.empty() ? 0 : values[values.size() / 2];
}

std::string cell(double value, double unit, int digits) {
  char text[32];
  if (value == 0 || unit == 0) return "-";
  std::snprintf(text, sizeof text, "%.*f", digits, value / unit);
  return text;
}

}  // namespace

report::report() {
  // One stage may have no row that matches a filter.
  SetErrorStream(&nowhere_);
}

bool report::ReportContext(const Context& machine) {
  if (!introduced_) PrintBasicContext(&std::cerr, machine);
  introduced_ = true;
  return true;
}

void report::ReportRuns(const std::vector<Run>& runs) {
  for (const Run& run : runs) {
    if (run.run_type != Run::RT_Iteration) continue;
    if (run.error_occurred) std::cerr << run.benchmark_name() << ": " << run.error_message << '\n';
    runs_.push_back(run);
  }
}

void report::print() const {
  const double f = median_of(fcontext_row), call = median_of(call_row);
  std::printf("%-68s %12s %12s %12s %8s %9s %8s\n", "", "ns", "min", "max", "F", "call+ret", "bytes");
  for (const std::string& row : rows) {
    const std::vector<Run> runs = runs_of(row);
    const std::vector<double> times = sorted(runs, nanoseconds);
    if (times.empty()) continue;
    const double ns = median(times);
    std::printf("%-68s %12.2f %12.2f %12.2f %8s %9s %8s\n", row.c_str(), ns, times.front(), times.back(),
                cell(ns, f, 2).c_str(), cell(ns, call, 2).c_str(), cell(median(sorted(runs, memory)), 1, 0).c_str());
  }
}

bool report::write(std::ostream& file) const {
  benchmark::JSONReporter json;
  json.SetOutputStream(&file);
  json.ReportContext(Context());
  for (const std::string& row : rows) {
    const std::vector<Run> runs = runs_of(row);
    if (!runs.empty()) json.ReportRuns(runs);
  }
  json.Finalize();
  return file.flush().good();
}

std::vector<benchmark::BenchmarkReporter::Run> report::runs_of(std::string_view row) const {
  std::vector<Run> found;
  std::copy_if(runs_.begin(), runs_.end(), std::back_inserter(found),
               [&](const Run& r) { return r.run_name.function_name == row; });
  return found;
}

double report::median_of(std::string_view row) const {
  return median(sorted(runs_of(row), nanoseconds));
}

}  // namespace perf
