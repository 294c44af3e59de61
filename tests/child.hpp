#pragma once

/// What a child process has to say, for what cannot be done in this one.

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstddef>
#include <cstdio>
#include <functional>
#include <span>
#include <stdexcept>
#include <string>
#include <vector>

/// Ends the process if the bytes cannot be written.
inline void put(int fd, std::span<const std::byte> bytes) {
  while (!bytes.empty()) {
    const ssize_t n = write(fd, bytes.data(), bytes.size());
    if (n < 0) _exit(1);
    bytes = bytes.subspan(static_cast<std::size_t>(n));
  }
}

/// All that comes from a pipe, which is closed then.
inline std::vector<std::byte> read_out(int fd) {
  std::vector<std::byte> bytes;
  std::byte buffer[4096];
  for (ssize_t n; (n = read(fd, buffer, sizeof buffer)) > 0;) bytes.insert(bytes.end(), buffer, buffer + n);
  close(fd);
  return bytes;
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
  const std::vector<std::byte> bytes = read_out(ends[0]);
  int status = 0;
  waitpid(child, &status, 0);
  EXPECT_EQ(status, 0);
  return bytes;
}

/// What `work` returns, in a child process.
inline std::string text_of_child(const std::function<std::string()>& work) {
  const std::vector<std::byte> bytes = output_of_child([&](int fd) {
    const std::string text = work();
    put(fd, std::as_bytes(std::span(text)));
  });
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

/// What a child process wrote to stderr, and how it ended.
struct ending {
  std::string said;
  int status = 0;

  bool by_fault() const { return WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV; }
};

/// That of one that does `work`.
inline ending ending_of_child(const std::function<void()>& work) {
  std::fflush(nullptr);
  int ends[2];
  if (pipe(ends) != 0) throw std::runtime_error("pipe");
  const pid_t child = fork();
  if (child == 0) {
    dup2(ends[1], STDERR_FILENO);
    work();
    _exit(0);
  }
  close(ends[1]);
  const std::vector<std::byte> bytes = read_out(ends[0]);
  ending e{.said = {reinterpret_cast<const char*>(bytes.data()), bytes.size()}};
  waitpid(child, &e.status, 0);
  // An emulator adds that a signal ended the program.
  if (STACKLESS_EMULATED) e.said.resize(std::min(e.said.size(), e.said.find("qemu: ")));
  return e;
}
