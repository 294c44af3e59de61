#pragma once

/// What the tests of the heap look at it with.

#include <sys/wait.h>
#include <unistd.h>

#include <cstddef>
#include <cstdint>
#include <cstring>

#include "arch/region.hpp"

inline std::uintptr_t word(const void* pointer) {
  return reinterpret_cast<std::uintptr_t>(pointer);
}

inline std::uintptr_t chunk_of(const void* block) {
  return word(block) / stackless::arch::chunk_size;
}

inline bool is_zero(const void* bytes, std::size_t size) {
  const auto* each = static_cast<const unsigned char*>(bytes);
  return size == 0 || (each[0] == 0 && std::memcmp(each, each + 1, size - 1) == 0);
}

/// Runs `body` in a child; what it returned, or -1.
template <class Body>
int in_child(Body body) {
  const pid_t child = fork();
  if (child == 0) _exit(body());
  int status = 0;
  waitpid(child, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}
