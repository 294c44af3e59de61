#pragma once

/// What tests of several threads share.

#include <gtest/gtest.h>

#include <chrono>
#include <exception>
#include <functional>
#include <optional>
#include <stackless/channel.hpp>
#include <stackless/scheduler.hpp>
#include <stackless/tasklet.hpp>
#include <thread>
#include <utility>

#include "core/ended.hpp"
#include "core/record.hpp"
#include "tests/stack_kind.hpp"

inline void nap() { std::this_thread::sleep_for(std::chrono::milliseconds(1)); }

/// Compilers know that a thread keeps its id, and not that a tasklet does not.
[[gnu::noinline]] inline std::thread::id this_thread() {
  asm volatile("");
  return std::this_thread::get_id();
}

/// Another thread. Its main does what it is given, one after the other; meanwhile and in between its tasklets run.
class elsewhere {
 public:
  ~elsewhere() { end(); }

  /// Does `f` there, and comes back when it is done.
  void operator()(std::function<void()> f) {
    stackless::channel<std::exception_ptr> done;
    jobs_.send([&] {
      std::exception_ptr failure;
      try {
        f();
      } catch (...) {
        failure = std::current_exception();
      }
      done.send(failure);
    });
    if (const std::exception_ptr failure = done.receive()) std::rethrow_exception(failure);
  }

  /// The same with a result.
  template <class T>
  T get(std::function<T()> f) {
    std::optional<T> result;
    (*this)([&] { result.emplace(f()); });
    return std::move(*result);
  }

  stackless::tasklet main() {
    return get<stackless::tasklet>([] { return stackless::main_tasklet(); });
  }

  /// The thread ends.
  void end() {
    if (!thread_.joinable()) return;
    jobs_.close();
    thread_.join();
  }

 private:
  stackless::channel<std::function<void()>> jobs_;
  thread_of_kind thread_{[this] {
    for (auto& job : jobs_) job();
  }};
};

/// No test leaves a tasklet behind.
class with_threads : public ::testing::Test {
 protected:
  static std::size_t living() {
    stackless::run();
    stackless::poll();
    stackless::detail::reclaim_all(stackless::detail::here());  // whoever has ended is gone now
    std::size_t count = 0;
    stackless::records::for_each([&](stackless::detail::record*) { ++count; });
    return count;
  }

  void TearDown() override { EXPECT_EQ(living(), before_) << "a tasklet is left"; }

 private:
  const std::size_t before_ = living();
};
