// Mutexes, semaphores, wait groups and events between the tasklets of several threads.

#include <gtest/gtest.h>

#include <array>
#include <atomic>
#include <cstddef>
#include <latch>
#include <memory>
#include <mutex>
#include <random>
#include <stackless/channel.hpp>
#include <stackless/error.hpp>
#include <stackless/scheduler.hpp>
#include <stackless/sync.hpp>
#include <stackless/tasklet.hpp>
#include <string>
#include <thread>
#include <vector>

#include "tests/stack_kind.hpp"

namespace {

using stackless::channel;
using stackless::run;
using stackless::schedule;
using stackless::tasklet;

constexpr int thread_count = 4;

/// Runs `f(n)` in each of so many threads, and what it has begun.
template <class F>
void in_threads(F f) {
  std::latch together(thread_count);
  std::vector<thread_of_kind> threads;
  for (int n = 0; n != thread_count; ++n) {
    threads.emplace_back([&, n] {
      together.arrive_and_wait();
      f(n);
      run({.serve = true});
    });
  }
  for (thread_of_kind& t : threads) t.join();
}

TEST(sync_between_threads, mutex_protects_a_plain_counter) {
  constexpr int tasklets = 5, increments = 5000;  // 4 * 5 * 5000
  stackless::mutex m;
  long counter = 0;
  in_threads([&](int n) {
    for (int i = 0; i != tasklets; ++i) {
      tasklet([&, seed = static_cast<unsigned>(n * tasklets + i)] {
        std::minstd_rand random(seed + 1);
        for (int k = 0; k != increments; ++k) {
          const std::lock_guard locked(m);
          const long before = counter;
          if (random() % 64 == 0) schedule();
          counter = before + 1;
        }
      });
    }
  });
  EXPECT_EQ(counter, 100'000);
}

TEST(sync_between_threads, mutex_that_is_tried_is_had_by_one) {
  constexpr int rounds = 1000;
  stackless::mutex m;
  int counter = 0;
  in_threads([&](int) {
    tasklet([&] {
      for (int done = 0; done != rounds; schedule()) {
        const std::unique_lock locked(m, std::try_to_lock);
        if (!locked) continue;
        ++counter;
        ++done;
      }
    });
  });
  EXPECT_EQ(counter, thread_count * rounds);
}

TEST(sync_between_threads, never_more_have_a_permit_than_there_are) {
  constexpr int permits = 3, tasklets = 4, rounds = 500;
  stackless::semaphore s(permits);
  std::atomic<int> inside = 0, most = 0;
  in_threads([&](int n) {
    for (int i = 0; i != tasklets; ++i) {
      tasklet([&, seed = static_cast<unsigned>(n * tasklets + i)] {
        std::minstd_rand random(seed + 1);
        for (int k = 0; k != rounds; ++k) {
          s.acquire();
          const int now = ++inside;
          for (int before = most; before < now && !most.compare_exchange_weak(before, now);) {
          }
          if (random() % 2 == 0) schedule();
          --inside;
          s.release();
        }
      });
    }
  });
  EXPECT_LE(most, permits);
  for (int i = 0; i != permits; ++i) EXPECT_TRUE(s.try_acquire());
  EXPECT_FALSE(s.try_acquire());
}

TEST(sync_between_threads, permits_of_tasklets_that_are_killed_are_not_lost) {
  constexpr int rounds = 200, victims = 3;
  stackless::semaphore s(1);
  const auto work = [&s] {
    s.acquire();
    const std::unique_ptr<stackless::semaphore, void (*)(stackless::semaphore*)> permit(
        &s, [](stackless::semaphore* acquired) { acquired->release(); });
    schedule();
  };
  in_threads([&](int n) {
    tasklet([&, seed = static_cast<unsigned>(n)] {
      std::minstd_rand random(seed + 1);
      for (int i = 0; i != rounds; ++i) {
        std::vector<tasklet> all;
        for (int k = 0; k != victims; ++k) all.emplace_back(work);
        for (auto turns = random() % 3; turns != 0; --turns) schedule();
        for (tasklet& t : all) {
          if (random() % 4 != 0) t.kill(random() % 2 == 0 ? stackless::when::now : stackless::when::pending);
        }
        for (tasklet& t : all) t.join();
      }
    });
  });
  EXPECT_TRUE(s.try_acquire());
  EXPECT_FALSE(s.try_acquire());
}

TEST(sync_between_threads, wait_group_waits_for_the_work_of_all) {
  constexpr int rounds = 200;
  stackless::wait_group work;
  std::array<int, thread_count> done{};
  work.add(thread_count * rounds);
  std::thread waiter([&] {
    work.wait();
    for (const int n : done) EXPECT_EQ(n, rounds);
  });
  in_threads([&](int n) {
    for (int i = 0; i != rounds; ++i) {
      tasklet([&, n] {
        ++done[static_cast<std::size_t>(n)];
        work.done();
      });
    }
  });
  waiter.join();
}

TEST(sync_between_threads, event_wakes_those_of_all_threads) {
  stackless::event go;
  channel<int> ready;
  int message = 0;
  std::atomic<int> read = 0;
  std::thread sets([&] {
    for (int i = 0; i != thread_count; ++i) ready.receive();
    message = 7;
    go.set();
  });
  in_threads([&](int n) {
    tasklet([&, n] {
      ready.send(n);
      go.wait();
      read += message;
    });
  });
  sets.join();
  EXPECT_EQ(read, thread_count * 7);
}

TEST(sync_between_threads, waiters_in_another_thread_are_woken_when_it_is_destroyed) {
  auto s = std::make_unique<stackless::semaphore>(0);
  std::atomic<bool> waiting = false;
  std::string told;
  thread_of_kind waits([&, &gone = *s] {
    tasklet([&] {
      try {
        gone.acquire();
      } catch (const stackless::state_error& e) {
        told = e.what();
      }
    });
    schedule();
    waiting = true;
    run({.serve = true});
  });
  while (!waiting) std::this_thread::yield();
  s.reset();
  waits.join();
  EXPECT_EQ(told.substr(0, told.find(':')), "what the tasklet waited on was destroyed");
}

}  // namespace
