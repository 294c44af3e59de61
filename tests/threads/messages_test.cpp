// Tasklets of several threads: each thread has a ring of its own, and channels work between them.

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <stackless/channel.hpp>
#include <stackless/error.hpp>
#include <stackless/scheduler.hpp>
#include <stackless/tasklet.hpp>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "tests/stack_kind.hpp"

namespace {

using stackless::channel;
using stackless::run;
using stackless::schedule;
using stackless::tasklet;

void nap() { std::this_thread::sleep_for(std::chrono::milliseconds(1)); }

TEST(threads, G01_each_has_a_ring_a_main_and_a_current_tasklet_of_its_own) {
  bool mine = false;
  tasklet([&] { mine = true; });
  std::size_t count = 0;
  bool same = true, main_runs = false;
  const tasklet here = stackless::main_tasklet();
  std::thread([&] {
    count = stackless::runcount();
    same = stackless::main_tasklet() == here;
    main_runs = stackless::current() == stackless::main_tasklet();
  }).join();
  EXPECT_EQ(count, 1u);
  EXPECT_FALSE(same);
  EXPECT_TRUE(main_runs);
  EXPECT_EQ(stackless::runcount(), 2u);
  run();
  EXPECT_TRUE(mine);
}

TEST(threads, G02_a_sender_in_another_thread_goes_on_at_once) {
  channel<std::string> c;
  std::vector<std::string> received;
  std::atomic<bool> done = false;
  thread_of_kind server([&] {
    tasklet([&] {
      received.push_back(c.receive());
      done = true;
    });
    while (!done) {
      run();
      nap();
    }
  });
  while (c.balance() == 0) nap();
  c.send("hello");
  server.join();
  EXPECT_EQ(received, std::vector<std::string>{"hello"});
  EXPECT_EQ(c.balance(), 0);
}

TEST(threads, main_waits_for_a_message_of_another_thread) {
  channel<int> c;
  std::thread sender([&] {
    nap();
    c.send(7);
  });
  EXPECT_EQ(c.receive(), 7);
  sender.join();
}

TEST(threads, run_that_serves_waits_for_other_threads_until_all_tasklets_have_ended) {
  channel<int> c;
  int sum = 0;
  std::atomic<bool> serving = false;
  thread_of_kind server([&] {
    tasklet([&] {
      serving = true;
      for (const int n : c) sum += n;
    });
    run({.serve = true});
  });
  while (!serving) nap();
  for (int i = 1; i <= 100; ++i) c.send(i);
  c.close();
  server.join();
  EXPECT_EQ(sum, 5050);
}

TEST(threads, messages_go_both_ways_in_order) {
  constexpr int count = 2000;
  channel<int> there, back;
  thread_of_kind echo([&] {
    tasklet([&] {
      for (const int n : there) back.send(n + 1);
      back.close();
    });
    run({.serve = true});
  });
  tasklet([&] {
    for (int i = 0; i != count; ++i) there.send(i);
    there.close();
  });
  std::vector<int> got;
  for (const int n : back) got.push_back(n);
  ASSERT_EQ(got.size(), static_cast<std::size_t>(count));
  for (int i = 0; i != count; ++i) EXPECT_EQ(got[static_cast<std::size_t>(i)], i + 1);
  echo.join();
}

}  // namespace
