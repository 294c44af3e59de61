#pragma once

#include <unistd.h>

#include <cstddef>
#include <fstream>

/// Bytes of memory that this process has.
inline std::size_t resident() {
  std::size_t size = 0, pages = 0;
  std::ifstream("/proc/self/statm") >> size >> pages;
  return pages * static_cast<std::size_t>(getpagesize());
}
