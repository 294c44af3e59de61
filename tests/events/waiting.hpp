#pragma once

/// What the tests of waiting are written with.

#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <stackless/events.hpp>
#include <stackless/scheduler.hpp>
#include <stackless/tasklet.hpp>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include "tests/stack_kind.hpp"

namespace {

using namespace std::chrono_literals;

using stackless::alarm;
using stackless::channel;
using stackless::current;
using stackless::descriptor;
using stackless::event_clock;
using stackless::run;
using stackless::schedule;
using stackless::sleep_for;
using stackless::sleep_until;
using stackless::tasklet;
using stackless::TaskletExit;
using stackless::timeout;
using stackless::timeout_error;
using stackless::wait_readable;
using stackless::wait_writable;

using lines = std::vector<std::string>;

/// A thing that takes too long for any test.
constexpr auto long_time = std::chrono::hours(1);

/// Two ends that are joined, and closed when it goes.
class ends {
 public:
  explicit ends(int (*make)(int*)) {
    if (make(fds_) != 0) throw std::system_error(errno, std::generic_category());
  }
  ~ends() {
    close_first();
    close_second();
  }
  ends(const ends&) = delete;
  ends& operator=(const ends&) = delete;

  int first() const { return fds_[0]; }
  int second() const { return fds_[1]; }
  void close_first() { close_one(fds_[0]); }
  void close_second() { close_one(fds_[1]); }

 private:
  static void close_one(int& fd) {
    if (fd >= 0) close(std::exchange(fd, -1));
  }

  int fds_[2];
};

/// The first is read from, the second written to.
struct a_pipe : ends {
  a_pipe() : ends(pipe) {}
};
struct a_socketpair : ends {
  a_socketpair() : ends([](int* fds) { return socketpair(AF_UNIX, SOCK_STREAM, 0, fds); }) {}
};

inline void put(int fd) { ASSERT_EQ(write(fd, "x", 1), 1); }
inline void get(int fd) {
  char byte;
  ASSERT_EQ(read(fd, &byte, 1), 1);
}

/// Writes until there is no room.
inline void fill(int fd) {
  const std::string much(1 << 16, 'x');
  while (send(fd, much.data(), much.size(), MSG_DONTWAIT) > 0) {
  }
}

/// Each case begins and ends with main alone.
class event_case : public testing::Test {
 protected:
  void TearDown() override {
    run();
    EXPECT_EQ(stackless::runcount(), 1u);
    EXPECT_EQ(current(), stackless::main_tasklet());
  }

  lines trace;
};

}  // namespace
