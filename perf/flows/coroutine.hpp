#pragma once

/// The coroutines of C++20. They have no stack: a function that they call cannot suspend them, so they have no row that
/// gives way from deeper.

#include <coroutine>
#include <exception>
#include <utility>

#include "calls.hpp"

namespace perf {

struct coroutine {
  static constexpr char name[] = "C++20 coroutine";

  template <class Calls>
  class partner;

  [[gnu::noinline]] static void life(long& count) {
    const task t = once(count);
    t.resume();
  }

 private:
  class task {
   public:
    struct promise_type {
      task get_return_object() { return task(std::coroutine_handle<promise_type>::from_promise(*this)); }
      std::suspend_always initial_suspend() { return {}; }
      std::suspend_always final_suspend() noexcept { return {}; }
      void return_void() {}
      void unhandled_exception() { std::terminate(); }
    };

    explicit task(std::coroutine_handle<> h) : handle_(h) {}
    task(task&& other) noexcept : handle_(std::exchange(other.handle_, nullptr)) {}
    task& operator=(task&&) = delete;
    ~task() {
      if (handle_) handle_.destroy();
    }

    void resume() const { handle_.resume(); }

   private:
    std::coroutine_handle<> handle_;
  };

  // Not inlined, so that the frame is allocated as it is where the compiler does not see who begins it.
  [[gnu::noinline]] static task once(long& count) {
    ++count;
    co_return;
  }
  [[gnu::noinline]] static task for_ever(long& count) {
    for (;;) {
      ++count;
      co_await std::suspend_always{};
    }
  }
};

template <>
class coroutine::partner<directly> {
 public:
  partner() : task_(for_ever(count_)) {}
  partner(const partner&) = delete;
  partner& operator=(const partner&) = delete;

  void resume() { task_.resume(); }
  long count() const { return count_; }

 private:
  long count_ = 0;
  task task_;
};

}  // namespace perf
