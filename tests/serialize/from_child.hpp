#pragma once

/// Snapshots taken in a child process. Nothing that the child allocates lies where this process has
/// something, so what was saved there can come back here.

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstddef>
#include <cstdio>
#include <functional>
#include <span>
#include <stackless/snapshot.hpp>
#include <stackless/tasklet.hpp>
#include <stdexcept>
#include <vector>

/// Ends the process if the bytes cannot be written.
inline void put(int fd, std::span<const std::byte> bytes) {
  while (!bytes.empty()) {
    const ssize_t n = write(fd, bytes.data(), bytes.size());
    if (n < 0) _exit(1);
    bytes = bytes.subspan(static_cast<std::size_t>(n));
  }
}

/// What `work` writes to the descriptor that it is given, in a child process that then ends.
inline std::vector<std::byte> output_of_child(const std::function<void(int)>& work) {
  std::fflush(nullptr);
  int ends[2];
  if (pipe(ends) != 0) throw std::runtime_error("pipe");
  const pid_t child = fork();
  if (child == 0) {
    try {
      work(ends[1]);
      _exit(0);
    } catch (const std::exception& e) {
      std::fprintf(stderr, "in the child: %s\n", e.what());
      _exit(1);
    }
  }
  close(ends[1]);
  std::vector<std::byte> bytes;
  std::byte buffer[4096];
  for (ssize_t n; (n = read(ends[0], buffer, sizeof buffer)) > 0;)
    bytes.insert(bytes.end(), buffer, buffer + n);
  close(ends[0]);
  int status = 0;
  waitpid(child, &status, 0);
  EXPECT_EQ(status, 0);
  return bytes;
}

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
