#pragma once

/// The kernel's settings that error texts name.

#include <fcntl.h>
#include <unistd.h>

#include <cstdlib>
#include <stackless/config.hpp>

STACKLESS_BEGIN
namespace arch {

/// The number in a file such as /proc/sys/vm/max_map_count; -1 if it cannot be read.
inline long long kernel_setting(const char* path) noexcept {
  const int file = open(path, O_RDONLY | O_CLOEXEC);
  if (file < 0) return -1;
  char text[32];
  const ssize_t length = read(file, text, sizeof text - 1);
  close(file);
  if (length <= 0) return -1;
  text[length] = 0;
  return std::strtoll(text, nullptr, 10);
}

}  // namespace arch
STACKLESS_END
