// Who waits in vain is told, and who may still be woken is not.

#include <time.h>

#include <atomic>
#include <optional>
#include <stackless/error.hpp>
#include <string>

#include "elsewhere.hpp"

namespace {

using stackless::channel;
using stackless::deadlock_error;
using stackless::run;
using stackless::schedule;
using stackless::schedule_remove;
using stackless::stop;
using stackless::tasklet;

class deadlock : public with_threads {};

TEST_F(deadlock, two_threads_that_wait_for_each_other_one_is_told) {
  for (int i = 0; i != 50; ++i) {
    channel<int> a, b;
    std::atomic<int> told = 0, received = 0;
    // Whoever is told sends to the other.
    const auto wait = [&](channel<int>& mine, channel<int>& others) {
      try {
        mine.receive();
        ++received;
      } catch (const deadlock_error&) {
        ++told;
        others.send(1);
      }
    };
    std::thread other([&] { wait(a, b); });
    wait(b, a);
    other.join();
    EXPECT_EQ(told, 1);
    EXPECT_EQ(received, 1);
  }
}

TEST_F(deadlock, receiver_whose_partners_thread_ends_is_told) {
  for (int i = 0; i != 50; ++i) {
    channel<int> c;
    std::thread other([&] { c.send(1); });
    EXPECT_EQ(c.receive(), 1);
    EXPECT_THROW(c.receive(), deadlock_error);
    EXPECT_EQ(c.balance(), 0);
    other.join();
  }
}

TEST_F(deadlock, sender_whose_partners_thread_ends_is_told) {
  channel<int> c;
  std::thread other([&] { c.receive(); });
  c.send(1);
  EXPECT_THROW(c.send(2), deadlock_error);
  EXPECT_EQ(c.balance(), 0);
  other.join();
}

TEST_F(deadlock, thread_alone_is_told_at_once_although_others_were_there) {
  channel<int> c;
  std::thread([&] { EXPECT_EQ(c.balance(), 0); }).join();
  EXPECT_THROW(c.receive(), deadlock_error);
  EXPECT_THROW(c.send(1), deadlock_error);
}

TEST_F(deadlock, thread_that_never_used_the_library_is_waited_for_until_it_ends) {
  channel<int> c;
  std::atomic<bool> ended = false;
  std::thread stranger([&] {
    for (int i = 0; i != 30; ++i) nap();
    ended = true;
  });
  EXPECT_THROW(c.receive(), deadlock_error);
  EXPECT_TRUE(ended);
  stranger.join();
}

#if !STACKLESS_EMULATED  // an emulator lets a thread be joined while it goes on to clean up after it
TEST_F(deadlock, thread_that_was_joined_is_not_waited_for) {
  for (int i = 0; i != 200; ++i) {
    std::thread([] {}).join();
    channel<int> c;
    tasklet([&] {
      stackless::main_tasklet().remove();
      EXPECT_THROW(c.receive(), deadlock_error);
      stackless::main_tasklet().insert();
    });
    schedule();
  }
}
#endif

TEST_F(deadlock, nobody_is_told_while_a_thread_computes) {
  channel<int> c;
  std::atomic<bool> waits = false;
  std::thread other([&] {
    while (!waits) nap();
    while (c.balance() == 0) nap();
    for (int i = 0; i != 5; ++i) nap();
    c.send(3);
  });
  waits = true;
  EXPECT_EQ(c.receive(), 3);
  other.join();
}

TEST_F(deadlock, main_waits_for_other_threads_when_its_last_tasklet_has_ended) {
  channel<int> c;
  std::atomic<bool> ending = false;
  std::thread other([&] {
    while (!ending) nap();
    for (int i = 0; i != 5; ++i) nap();
    c.send(3);
  });
  tasklet([&] { ending = true; });
  EXPECT_EQ(c.receive(), 3);
  other.join();
}

TEST_F(deadlock, thread_that_serves_tells_the_one_that_waits_for_it) {
  channel<int> never, c;
  thread_of_kind server([&] {
    tasklet([&] { c.receive(); });
    run({.serve = true});
  });
  EXPECT_THROW(never.receive(), deadlock_error);
  c.send(1);
  server.join();
}

TEST_F(deadlock, tasklet_that_waits_in_vain_leaves_main_to_go_on) {
  channel<int> c, shared;
  std::thread([&] { EXPECT_EQ(shared.balance(), 0); }).join();
  tasklet t([&] { shared.receive(); });
  run();
  EXPECT_TRUE(t.blocked());
  EXPECT_EQ(shared.balance(), -1);
  shared.send(1);
}

TEST_F(deadlock, stop_ends_the_run_that_serves) {
  channel<void> c;
  bool stopped = false;
  thread_of_kind server([&] {
    tasklet waiting([&] { c.receive(); });
    tasklet([] { stop(); });
    run({.serve = true});
    stopped = true;
    EXPECT_TRUE(waiting.blocked());
    waiting.kill();
  });
  server.join();
  EXPECT_TRUE(stopped);
}

TEST_F(deadlock, stop_beforehand_ends_the_next_run_that_serves_and_no_other) {
  channel<void> c;
  tasklet waiting([&] { c.receive(); });
  bool ran = false;
  stop();
  tasklet([&] { ran = true; });
  run();
  EXPECT_TRUE(ran);
  run({.serve = true});
  tasklet([] { stop(); });
  run({.serve = true});
  waiting.kill();
}

TEST_F(deadlock, stop_by_what_another_thread_sends_ends_the_run_that_serves) {
  channel<void> quit;
  channel<int> never;
  thread_of_kind server([&] {
    tasklet waiting([&] { never.receive(); });
    tasklet([&] {
      quit.receive();
      stop();
    });
    run({.serve = true});
    waiting.kill();
  });
  quit.send();
  server.join();
}

TEST_F(deadlock, run_inside_of_one_that_serves_is_not_ended_by_stop) {
  std::string trace;
  channel<int> c;
  tasklet outer([&] {
    run({.serve = true});
    trace += "outer ";
  });
  tasklet inner([&] {
    run();
    trace += "inner ";
  });
  tasklet stopping([&] {
    stop();
    schedule();
    trace += "stopped ";
  });
  tasklet waiting([&] { c.receive(); });
  run();
  EXPECT_EQ(trace, "outer stopped inner ");
  waiting.kill();
}

double processor_seconds() {
  timespec t{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
  return static_cast<double>(t.tv_sec) + 1e-9 * static_cast<double>(t.tv_nsec);
}

TEST_F(deadlock, thread_that_waits_uses_no_processor_time) {
  channel<int> c, served;
  double main_used = 0, server_used = 0;
  std::thread waiting([&] {
    const double before = processor_seconds();
    c.receive();
    main_used = processor_seconds() - before;
  });
  thread_of_kind server([&] {
    tasklet([&] { served.receive(); });
    const double before = processor_seconds();
    run({.serve = true});
    server_used = processor_seconds() - before;
  });
  std::this_thread::sleep_for(std::chrono::milliseconds(400));
  c.send(1);
  served.send(1);
  waiting.join();
  server.join();
  EXPECT_LT(main_used, 0.1);
  EXPECT_LT(server_used, 0.1);
}

}  // namespace
