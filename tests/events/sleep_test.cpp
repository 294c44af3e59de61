// Sleepers, timeouts and alarms. Lower bounds of time are exact; there are none above, for a machine may be slow.

#include <time.h>

#include <exception>
#include <memory>
#include <optional>
#include <stdexcept>
#include <thread>

#include "tests/events/waiting.hpp"

namespace {

class sleeping : public event_case {};

TEST_F(sleeping, main_sleeps_alone) {
  const auto begin = event_clock::now();
  sleep_for(5ms);
  EXPECT_GE(event_clock::now() - begin, 5ms);
}

/// The order of sleepers that all began to wait before `begin`, from which their deadlines are counted. A slow machine is
/// given more and more time for that.
template <class Spawn>
lines order_of(Spawn spawn) {
  for (auto ahead = 5ms;; ahead *= 2) {
    lines woken;
    const auto begin = event_clock::now() + ahead;
    spawn(begin, woken);
    schedule();
    const bool all_wait = event_clock::now() < begin;
    run();
    if (all_wait) return woken;
  }
}

TEST_F(sleeping, sleepers_wake_in_the_order_of_deadlines) {
  const auto one_each = [](auto unit) {
    return [unit](event_clock::time_point begin, lines& woken) {
      for (const int n : {3, 1, 4, 2}) {
        tasklet([=, &woken] {
          sleep_until(begin + n * unit);
          EXPECT_GE(event_clock::now(), begin + n * unit);
          woken.push_back(std::to_string(n));
        });
      }
    };
  };
  EXPECT_EQ(order_of(one_each(4ms)), (lines{"1", "2", "3", "4"}));
  EXPECT_EQ(order_of(one_each(1us)), (lines{"1", "2", "3", "4"})) << "less than a millisecond apart";
}

TEST_F(sleeping, sleepers_with_one_deadline_wake_in_the_order_in_which_they_began) {
  const lines order = order_of([](event_clock::time_point begin, lines& woken) {
    for (const char* name : {"a", "b", "c"}) {
      tasklet([=, &woken] {
        sleep_until(begin);
        woken.push_back(name);
      });
    }
  });
  EXPECT_EQ(order, (lines{"a", "b", "c"}));
}

TEST_F(sleeping, others_run_while_one_sleeps) {
  bool slept = false;
  int turns = 0;
  tasklet([&] {
    sleep_for(5ms);
    slept = true;
  });
  tasklet([&] {
    while (!slept) {
      schedule();
      ++turns;
    }
  });
  run();
  EXPECT_GT(turns, 1);
}

TEST_F(sleeping, sleeping_for_no_time_only_gives_way) {
  tasklet([&] { trace.push_back("other"); });
  sleep_for(0ms);
  trace.push_back("main");
  tasklet([&] { trace.push_back("other"); });
  sleep_until(event_clock::now() - long_time);
  trace.push_back("main");
  sleep_for(std::chrono::nanoseconds::min());
  EXPECT_EQ(trace, (lines{"other", "main", "other", "main"}));
}

TEST_F(sleeping, run_waits_for_sleepers_but_not_for_those_blocked_on_channels) {
  channel<int> c;
  tasklet receiver([&] {
    try {
      c.receive();
    } catch (const TaskletExit&) {
      trace.push_back("killed");
    }
  });
  tasklet([&] {
    sleep_for(2ms);
    trace.push_back("slept");
  });
  run();
  trace.push_back("returned");
  receiver.kill();
  EXPECT_EQ(trace, (lines{"slept", "returned", "killed"}));
}

TEST_F(sleeping, sleeper_is_blocked) {
  tasklet t([] { sleep_for(long_time); });
  schedule();
  EXPECT_TRUE(t.blocked());
  EXPECT_THROW(t.run(), stackless::state_error);
  t.kill();
  EXPECT_FALSE(t.alive());
}

TEST_F(sleeping, killed_sleeper_is_forgotten) {
  tasklet t([&] {
    try {
      sleep_for(long_time);
    } catch (const TaskletExit&) {
      trace.push_back("killed");
      throw;
    }
  });
  schedule();
  t.kill();
  run();
  EXPECT_EQ(trace, (lines{"killed"}));
}

TEST_F(sleeping, exception_thrown_into_a_sleeper_ends_its_sleep_and_it_may_sleep_again) {
  tasklet t([&] {
    try {
      sleep_for(std::chrono::nanoseconds::max());
    } catch (const std::runtime_error& e) {
      sleep_for(1ms);
      trace.push_back(e.what());
    }
  });
  schedule();
  t.raise(std::runtime_error("woken"));
  run();
  EXPECT_EQ(trace, (lines{"woken"}));
}

TEST_F(sleeping, sleeper_killed_as_pending_does_not_wake_normally) {
  tasklet t([&] {
    sleep_for(1ms);
    trace.push_back("slept");
  });
  schedule();
  t.kill(stackless::when::pending);
  std::this_thread::sleep_for(2ms);
  run();
  EXPECT_TRUE(trace.empty());
}

TEST_F(sleeping, tasklet_that_must_not_block_does_not_sleep) {
  current().block_trap(true);
  EXPECT_THROW(sleep_for(long_time), stackless::trap_error);
  current().block_trap(false);
  run();
}

TEST_F(sleeping, main_blocked_on_a_channel_is_served_by_a_sleeper_and_told_when_none_is_left) {
  channel<int> c;
  tasklet([&] {
    sleep_for(2ms);
    c.send(7);
    sleep_for(2ms);
  });
  EXPECT_EQ(c.receive(), 7);
  EXPECT_THROW(c.receive(), stackless::deadlock_error);
}

TEST_F(sleeping, a_thousand_sleepers) {
  int awake = 0;
  for (int i = 0; i != 1000; ++i) {
    tasklet([&, i] {
      sleep_for(std::chrono::microseconds(7919 * i % 10'000));
      ++awake;
    });
  }
  run();
  EXPECT_EQ(awake, 1000);
}

TEST_F(sleeping, threads_sleep_each_for_itself) {
  const auto sleep_twice = [] {
    int awake = 0;
    for (const auto time : {4ms, 2ms}) {
      tasklet([&, time] {
        sleep_for(time);
        ++awake;
      });
    }
    run();
    EXPECT_EQ(awake, 2);
  };
  thread_of_kind one(sleep_twice), two(sleep_twice);
  one.join();
  two.join();
}

TEST_F(sleeping, threads_with_sleepers_are_woken_by_messages) {
  channel<int> forth, back;
  const auto beside_a_sleeper = [](auto f) {
    tasklet sleeper([] { sleep_for(long_time); });
    schedule();
    f();
    sleeper.kill();
  };
  thread_of_kind other([&] {
    beside_a_sleeper([&] {
      for (int i = 0; i != 100; ++i) back.send(forth.receive());
    });
  });
  beside_a_sleeper([&] {
    for (int i = 0; i != 100; ++i) {
      forth.send(i);
      EXPECT_EQ(back.receive(), i);
    }
  });
  other.join();
}

TEST_F(sleeping, sleeper_is_not_moved_to_another_thread) {
  channel<tasklet> main_of;
  channel<void> done;
  std::thread other([&] {
    main_of.send(stackless::main_tasklet());
    done.receive();
  });
  tasklet t([] { sleep_for(long_time); });
  schedule();
  EXPECT_THROW(t.bind_thread(main_of.receive()), stackless::state_error);
  EXPECT_TRUE(t.blocked());
  t.kill();
  done.send();
  other.join();
}

TEST_F(sleeping, thread_that_only_waits_uses_no_processor_time) {
  const auto used = [] {
    timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return std::chrono::seconds(t.tv_sec) + std::chrono::nanoseconds(t.tv_nsec);
  };
  const auto before = used();
  tasklet([] { sleep_for(200ms); });
  sleep_for(200ms);
  EXPECT_LT(used() - before, 100ms);
}

/// What the timeouts' tests do long.
void wait_in_vain() {
  channel<int> nobody_sends;
  nobody_sends.receive();
}

TEST_F(sleeping, timeout_is_thrown_where_the_tasklet_sleeps) {
  const auto begin = event_clock::now();
  timeout limit(2ms);
  EXPECT_THROW(sleep_for(long_time), timeout_error);
  EXPECT_GE(event_clock::now() - begin, 2ms);
  EXPECT_TRUE(limit.expired());
}

TEST_F(sleeping, timeout_is_thrown_where_the_tasklet_receives) {
  timeout limit(2ms);
  EXPECT_THROW(wait_in_vain(), timeout_error);
}

TEST_F(sleeping, timeout_is_thrown_where_the_tasklet_gives_way) {
  bool thrown = false;
  tasklet([&] {
    try {
      timeout limit(1ms);
      for (;;) schedule();
    } catch (const timeout_error&) {
      thrown = true;
    }
  });
  run();
  EXPECT_TRUE(thrown);
}

TEST_F(sleeping, timeout_is_an_error_of_the_library) {
  timeout limit(1ms);
  EXPECT_THROW(wait_in_vain(), stackless::error);
}

TEST_F(sleeping, timeout_that_is_left_in_time_does_nothing) {
  const auto begin = event_clock::now();
  {
    timeout limit(1ms);
    EXPECT_FALSE(limit.expired());
  }
  timeout much(long_time);
  sleep_for(3ms);
  EXPECT_GE(event_clock::now() - begin, 3ms);
  EXPECT_FALSE(much.expired());
}

TEST_F(sleeping, inner_timeout_is_told_from_the_outer) {
  timeout outer(long_time);
  {
    timeout inner(2ms);
    EXPECT_THROW(wait_in_vain(), timeout_error);
    EXPECT_TRUE(inner.expired());
  }
  EXPECT_FALSE(outer.expired());
}

TEST_F(sleeping, outer_timeout_ends_the_inner_wait) {
  timeout outer(2ms);
  bool inner_expired = true;
  EXPECT_THROW(
      {
        timeout inner(long_time);
        try {
          wait_in_vain();
        } catch (...) {
          inner_expired = inner.expired();
          throw;
        }
      },
      timeout_error);
  EXPECT_TRUE(outer.expired());
  EXPECT_FALSE(inner_expired);
}

TEST_F(sleeping, timeouts_that_are_due_together_are_thrown_one_after_the_other) {
  const auto end = event_clock::now() + 2ms;
  timeout outer(end);
  {
    timeout inner(end);
    EXPECT_THROW(wait_in_vain(), timeout_error);
    EXPECT_TRUE(inner.expired() != outer.expired());
    EXPECT_THROW(wait_in_vain(), timeout_error);
    EXPECT_TRUE(inner.expired() && outer.expired());
  }
  sleep_for(1ms);
}

TEST_F(sleeping, timeout_of_one_that_ended_is_thrown_to_nobody) {
  std::optional<timeout> left_behind;
  tasklet([&] { left_behind.emplace(1ms); });
  schedule();
  sleep_for(5ms);
  EXPECT_TRUE(left_behind->expired());
}

TEST_F(sleeping, timeout_of_one_that_runs_others_does_not_make_it_wait) {
  timeout limit(long_time);
  tasklet([] { sleep_for(1ms); });
  run();
  EXPECT_FALSE(limit.expired());
}

TEST_F(sleeping, timeout_ends_a_run_of_others) {
  tasklet sleeper([] { sleep_for(long_time); });
  {
    timeout limit(2ms);
    EXPECT_THROW(run(), timeout_error);
  }
  sleeper.kill();
}

TEST_F(sleeping, alarm_can_be_received_once_from_its_time_on) {
  const auto begin = event_clock::now();
  alarm a(2ms);
  EXPECT_FALSE(a.channel().try_receive());
  a.channel().receive();
  EXPECT_GE(event_clock::now() - begin, 2ms);
  sleep_for(3ms);
  EXPECT_FALSE(a.channel().try_receive());
}

TEST_F(sleeping, alarm_keeps_its_signal_until_it_is_received) {
  alarm a(1ms);
  sleep_for(5ms);
  EXPECT_TRUE(a.channel().try_receive());
}

TEST_F(sleeping, alarm_wakes_one_who_waits_for_it) {
  alarm a(1ms);
  tasklet([&] {
    a.channel().receive();
    trace.push_back("rung");
  });
  run();
  EXPECT_EQ(trace, (lines{"rung"}));
}

TEST_F(sleeping, alarm_that_is_destroyed_before_is_disarmed) {
  { alarm a(long_time); }
  run();
  auto a = std::make_unique<alarm>(1ms);
  a.reset();
  sleep_for(3ms);
}

}  // namespace
