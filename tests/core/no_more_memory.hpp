#pragma once

#include <sys/resource.h>
#include <unistd.h>

#include <fstream>
#include <stackless/config.hpp>

// Sanitizers need memory of the kernel themselves; emulators do not pass the limit on.
#define STACKLESS_CAN_BE_REFUSED_MEMORY (!STACKLESS_ASAN && !STACKLESS_TSAN && !STACKLESS_EMULATED)

/// While one lives, the kernel refuses what the library maps. malloc and the stack of the test may still grow a little.
class no_more_memory {
 public:
  no_more_memory() {
    getrlimit(RLIMIT_AS, &before_);
    std::size_t pages = 0;
    std::ifstream("/proc/self/statm") >> pages;
    const rlimit now = {pages * static_cast<std::size_t>(getpagesize()) + (512 << 10), before_.rlim_max};
    setrlimit(RLIMIT_AS, &now);
  }
  ~no_more_memory() { setrlimit(RLIMIT_AS, &before_); }
  no_more_memory(const no_more_memory&) = delete;
  no_more_memory& operator=(const no_more_memory&) = delete;

 private:
  rlimit before_ = {};
};
