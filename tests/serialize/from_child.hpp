#pragma once

/// Snapshots taken in a child process. Nothing that the child allocates lies where this process has
/// something, so what was saved there can come back here.

#include <cstddef>
#include <functional>
#include <stackless/snapshot.hpp>
#include <stackless/tasklet.hpp>
#include <vector>

#include "tests/child.hpp"

/// What `make` gives in a child process.
inline std::vector<std::byte> bytes_from_child(const std::function<std::vector<std::byte>()>& make) {
  return output_of_child([&](int fd) { put(fd, make()); });
}

/// The snapshot of the tasklet that `make` returns, taken in a child process.
inline std::vector<std::byte> saved_in_child(const std::function<stackless::tasklet()>& make) {
  return bytes_from_child([&] { return stackless::dumps(make()); });
}

/// That tasklet, come back in this process.
inline stackless::tasklet brought_back(const std::function<stackless::tasklet()>& make) {
  return stackless::loads(saved_in_child(make));
}
