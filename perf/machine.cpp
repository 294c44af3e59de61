#include "machine.hpp"

#include <benchmark/benchmark.h>
#include <sched.h>
#include <sys/utsname.h>

#include <cstdio>
#include <fstream>
#include <string>

namespace perf {
namespace {

cpu_set_t beside;

std::string cpu() {
  std::ifstream info("/proc/cpuinfo");
  for (std::string line; std::getline(info, line);) {
    if (line.starts_with("model name")) return line.substr(line.find(": ") + 2);
  }
  return "unknown";
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
