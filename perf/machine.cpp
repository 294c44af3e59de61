#include "machine.hpp"

#include <benchmark/benchmark.h>
#include <sched.h>
#include <sys/utsname.h>

#include <cstddef>
#include <cstdio>
#include <fstream>
#include <string>
#include <string_view>

namespace perf {
namespace {

cpu_set_t beside;

/// What /proc/cpuinfo says of the first CPU; empty if it does not say it.
std::string information(std::string_view key) {
  std::ifstream file("/proc/cpuinfo");
  for (std::string line; std::getline(file, line);) {
    const std::size_t colon = line.find(": ");
    if (line.starts_with(key) && colon != std::string::npos) return line.substr(colon + 2);
  }
  return {};
}

std::string cpu() {
  const std::string model = information("model name");
  if (!model.empty()) return model;
  // AArch64 has numbers only.
  return "implementer " + information("CPU implementer") + ", part " + information("CPU part");
}

}  // namespace

void pin() {
  cpu_set_t one;
  CPU_ZERO(&one);
  if (sched_getaffinity(0, sizeof beside, &beside) == 0) {
    int last = CPU_SETSIZE - 1;
    while (last > 0 && !CPU_ISSET(last, &beside)) --last;
    CPU_SET(last, &one);
    if (sched_setaffinity(0, sizeof one, &one) == 0) {
      if (CPU_COUNT(&beside) > 1) CPU_CLR(last, &beside);
      benchmark::AddCustomContext("pinned to core", std::to_string(last));
      return;
    }
  }
  std::perror("stackless-perf: not pinned to a core");
}

void run_beside() {
  // Where it is refused, pin() has said so.
  if (CPU_COUNT(&beside) > 0) sched_setaffinity(0, sizeof beside, &beside);
}

void describe_machine() {
  utsname system;
  uname(&system);
  benchmark::AddCustomContext("cpu", cpu());
  benchmark::AddCustomContext("system", std::string(system.sysname) + ' ' + system.release + ' ' + system.machine);
#if defined(__clang__)
  benchmark::AddCustomContext("compiler", "clang " __clang_version__);
#else
  benchmark::AddCustomContext("compiler", "gcc " __VERSION__);
#endif
}

}  // namespace perf
