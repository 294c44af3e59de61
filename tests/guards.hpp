#pragma once

#include <sys/mman.h>
#include <unistd.h>

#include "arch/guard.hpp"

/// Whether the kernel marks guards in the page table (Linux 6.13). Else each is a mapping, and there are at most
/// vm.max_map_count of these.
inline bool guards_are_free() {
  constexpr int madv_guard_install = 102;
  const auto size = static_cast<std::size_t>(getpagesize());
  void* const page = mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  const bool marked = madvise(page, size, madv_guard_install) == 0 && stackless::arch::guard::faults(page);
  munmap(page, size);
  return marked;
}
