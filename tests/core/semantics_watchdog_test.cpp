// D: the watchdog as Stackless has it, in time instead of byte codes. Each test carries the number of the
// behaviour it pins. No test knows how fast the machine is: what must take longer than a timeout waits until
// it has.

#include <algorithm>
#include <array>
#include <chrono>
#include <stdexcept>

#include "tests/core/trace.hpp"

namespace {

using namespace std::chrono_literals;
using stackless::poll;
using watch = std::chrono::steady_clock;

class semantics_watchdog : public semantics_case {};

constexpr auto slice = 1ms;

/// Longer than any test takes.
constexpr auto never = 24h;

/// Polls until twice a slice has passed, and once more, for the time may pass without a poll: a watchdog that
/// may interrupts it on the way.
void spin() {
  for (const auto end = watch::now() + 2 * slice; watch::now() < end;) poll();
  poll();
}

/// Uses a slice up without a poll: the next one is where a watchdog interrupts.
void use_up() {
  for (const auto end = watch::now() + 2 * slice; watch::now() < end;) {
  }
}

TEST_F(semantics_watchdog, D01_hard_watchdog) {
  bool enough = false;
  long n = 0, seen = 0;
  tasklet spinner = spawn([&] {
    while (!enough) {
      ++n;
      poll();
    }
    out("spin done");
  });
  int interrupts = 0;
  while (auto t = run({.timeout = slice})) {
    EXPECT_EQ(*t, spinner);
    EXPECT_TRUE(t->paused() && t->alive());
    EXPECT_GT(n, seen) << "it goes on where it was";
    EXPECT_EQ(runcount(), 1u);
    seen = n;
    if (++interrupts == 12) enough = true;
    t->insert();
  }
  EXPECT_GE(interrupts, 12);
  EXPECT_EQ(trace, lines{"spin done"});
}

TEST_F(semantics_watchdog, D01_those_who_end_or_give_way_in_time_are_not_interrupted) {
  for (char n : {'a', 'b'}) {
    spawn([n] {
      out(n);
      poll();
      schedule();
      out(n);
    });
  }
  out(run({.timeout = never}).has_value());
  EXPECT_EQ(trace, (lines{"a", "b", "a", "b", "false"}));
}

TEST_F(semantics_watchdog, D01_the_others_stay_scheduled_in_their_order) {
  spawn([] {
    use_up();
    poll();
    out("a");
  });
  for (const char* n : {"b", "c"}) spawn_out(n);
  auto t = run({.timeout = slice});
  ASSERT_TRUE(t);
  out("main", runcount());
  t->insert();
  run();
  EXPECT_EQ(trace, (lines{"main 3", "b", "c", "a"}));
}

TEST_F(semantics_watchdog, D01_every_operation_of_channel_and_ring_is_a_poll) {
  channel<int> c;
  for (int operation = 0; operation < 6; ++operation) {
    tasklet paused = paused_with_cleanup();
    tasklet t = spawn([&] {
      use_up();
      switch (operation) {
        case 0:
          return schedule();
        case 1:
          return schedule_remove();
        case 2:
          return c.send(1);
        case 3:
          return static_cast<void>(c.receive());
        case 4:
          return paused.run();
        default:
          return paused.kill();
      }
    });
    out(run({.timeout = slice}) == t);
    out(c.balance(), st(paused));
    t.kill();
    paused.kill();
  }
  EXPECT_EQ(std::ranges::count(trace, "true"), 6);
  EXPECT_EQ(std::ranges::count(trace, "0 paused"), 6);
}

TEST_F(semantics_watchdog, D01_an_interrupted_tasklet_that_nobody_takes_is_unwound) {
  spawn([] {
    finally f{"finally"};
    for (;;) spin();
  });
  run({.timeout = slice});
  out("main");
  EXPECT_EQ(trace, (lines{"finally", "main"}));
}

TEST_F(semantics_watchdog, D01_an_interrupted_tasklet_may_be_killed_and_thrown_at) {
  for (bool kill : {true, false}) {
    tasklet t = spawn([] {
      finally f{"finally"};
      for (;;) spin();
    });
    run({.timeout = slice});
    out(err([&] { kill ? t.kill() : t.raise(std::runtime_error("thrown")); }));
  }
  EXPECT_EQ(trace, (lines{"finally", "returned", "finally", "error: thrown"}));
}

TEST_F(semantics_watchdog, D01_an_error_comes_out_of_run_and_ends_the_watch) {
  spawn([] { throw std::runtime_error("boom"); });
  tasklet t = spawn([] { spin(); });
  out(err([] { run({.timeout = slice}); }));
  out(run().has_value());
  out(st(t));
  EXPECT_EQ(trace, (lines{"error: boom", "false", "dead"}));
}

TEST_F(semantics_watchdog, D01_the_shortest_timeout_lets_everybody_come_to_an_end) {
  for (bool total : {true, false}) {
    int steps = 0, interrupts = 0;
    spawn([&] {
      for (; steps < 100; ++steps) poll();
    });
    while (auto t = run({.timeout = 1ns, .total = total})) {
      ASSERT_LT(++interrupts, 1000);
      t->insert();
    }
    EXPECT_EQ(steps, 100);
  }
}

// The partner may be gone when an operation that looked for it is interrupted and goes on.
TEST_F(semantics_watchdog, D01_try_send_and_try_receive_do_not_block_when_they_are_interrupted) {
  for (bool sending : {true, false}) {
    channel<int> c;
    tasklet partner = spawn([&] { sending ? static_cast<void>(c.receive()) : c.send(1); });
    run();
    tasklet t = spawn([&] {
      use_up();
      out(sending ? c.try_send(1) : c.try_receive().has_value());
    });
    run({.timeout = slice});
    partner.kill();
    if (t.paused()) t.insert();
    run();
    out(st(t), c.balance());
    t.kill();
  }
  EXPECT_EQ(trace, (lines{"false", "dead 0", "false", "dead 0"}));
}

TEST_F(semantics_watchdog, D01_kill_and_throw_that_are_interrupted_look_again_at_their_target) {
  for (bool kill : {true, false}) {
    tasklet target = paused_with_cleanup();
    tasklet t = spawn([&] {
      use_up();
      out(err([&] { kill ? target.kill() : target.raise(std::runtime_error("thrown")); }));
    });
    run({.timeout = slice});
    target.kill();
    if (t.paused()) t.insert();
    run();
  }
  EXPECT_EQ(trace,
            (lines{"cleanup", "returned", "cleanup", "state_error: You cannot throw to a dead tasklet"}));
}

TEST_F(semantics_watchdog, D02_soft_watchdog) {
  std::string order;
  for (char n : {'a', 'b'}) {
    spawn([&order, n] {
      for (int i = 0; i < 3; ++i) {
        spin();
        order += n;
        schedule();
      }
    });
  }
  int runs = 0;
  for (; runcount() > 1; ++runs) {
    ASSERT_LT(runs, 1000);
    EXPECT_FALSE(run({.timeout = slice, .soft = true}));
    EXPECT_LE(order.size(), static_cast<std::size_t>(runs) + 1)
        << "it returns at the first switch after the timeout";
  }
  EXPECT_EQ(order, "ababab");
}

TEST_F(semantics_watchdog, D02_a_soft_watchdog_leaves_everybody_scheduled) {
  for (bool total : {false, true}) {
    spawn([] {
      spin();
      schedule();
      out("a");
    });
    spawn_out("b");
    EXPECT_FALSE(run({.timeout = slice, .soft = true, .total = total}));
    out("main", runcount());
    run();
  }
  EXPECT_EQ(trace, (lines{"main 3", "b", "a", "main 3", "b", "a"}));
}

TEST_F(semantics_watchdog, D02_a_soft_watchdog_lets_somebody_run_however_short_its_timeout) {
  int steps = 0;
  spawn([&] {
    for (; steps < 3; ++steps) schedule();
  });
  for (int runs = 0; runs < 100 && runcount() > 1; ++runs) run({.timeout = 1ns, .soft = true});
  EXPECT_EQ(steps, 3);
  run();
}

TEST_F(semantics_watchdog, D03_set_atomic_delays_the_watchdog) {
  spawn([] {
    const bool old = current().set_atomic(true);
    out("old", old);
    use_up();
    poll();
    out("atomic part");
    current().set_atomic(old);
    out("end");
  });
  auto t = run({.timeout = slice});
  ASSERT_TRUE(t);
  out(st(*t), t->atomic());
  t->insert();
  run();
  EXPECT_EQ(trace, (lines{"old false", "atomic part", "paused false", "end"}));
}

TEST_F(semantics_watchdog, D03_atomic_scopes_nest) {
  spawn([] {
    {
      stackless::atomic outer;
      {
        stackless::atomic inner;
        use_up();
      }
      poll();
      out("still atomic", current().atomic());
    }
    out("end");
  });
  auto t = run({.timeout = slice});
  ASSERT_TRUE(t);
  out("interrupted");
  t->insert();
  run();
  EXPECT_EQ(trace, (lines{"still atomic true", "interrupted", "end"}));
}

// A destructor that is part of the unwinding has nowhere to throw to.
TEST_F(semantics_watchdog, D03_an_atomic_scope_may_be_left_by_an_exception) {
  tasklet t = spawn([] {
    out(err([] {
      stackless::atomic scope;
      use_up();
      throw std::runtime_error("thrown");
    }));
    poll();
    out("never");
  });
  run({.timeout = slice});
  t.kill();
  out(st(t));
  EXPECT_EQ(trace.back(), "dead");
  EXPECT_EQ(std::ranges::count(trace, "never"), 0);
}

TEST_F(semantics_watchdog, D04_of_nested_timeouts_the_outermost_counts) {
  spawn([] {
    spawn([] { spin(); });
    out("inner", run({.timeout = 1ns}).has_value());
  });
  out("outer", run({.timeout = never}).has_value());
  EXPECT_EQ(trace, (lines{"inner false", "outer false"}));
}

TEST_F(semantics_watchdog, D04_an_inner_run_returns_though_the_outer_one_was_interrupted) {
  tasklet inner = spawn([] {
    spawn([] {
      use_up();
      poll();
    });
    run();
    out("inner");
  });
  int interrupts = 0;
  while (auto t = run({.timeout = slice})) {
    ++interrupts;
    t->insert();
  }
  EXPECT_GE(interrupts, 1);
  EXPECT_FALSE(inner.alive());
  EXPECT_EQ(trace, lines{"inner"});
  inner.kill();
}

TEST_F(semantics_watchdog, D04_a_timeout_counts_again_when_the_outer_run_has_returned) {
  spawn([] { run({.timeout = never}); });
  spawn_out("other");
  run({.timeout = never});
  spawn([] { spin(); });
  auto t = run({.timeout = slice});
  ASSERT_TRUE(t);
  t->kill();
  EXPECT_EQ(trace, lines{"other"});
}

TEST_F(semantics_watchdog, D05_a_total_timeout_stops_those_who_give_way_in_time) {
  bool stop = false;
  std::array<int, 2> turns{};
  for (int& n : turns) {
    spawn([&] {
      while (!stop) {
        ++n;
        schedule();
      }
    });
  }
  auto t = run({.timeout = 20 * slice, .total = true});
  ASSERT_TRUE(t) << "they would go on for ever";
  EXPECT_TRUE(t->paused());
  EXPECT_EQ(runcount(), 2u);
  stop = true;
  t->insert();
  run();
}

// The original interrupts a tasklet with native frames below it only when told to; here frames are frames.
TEST_F(semantics_watchdog, D06_a_callback_of_a_library_function_is_interrupted_and_goes_on) {
  std::array<int, 4> values{3, 1, 4, 2};
  int interrupts = 0;
  spawn([&] {
    std::sort(values.begin(), values.end(), [](int a, int b) {
      use_up();
      poll();
      return a < b;
    });
    out("sorted", values[0], values[1], values[2], values[3]);
  });
  while (auto t = run({.timeout = slice})) {
    ++interrupts;
    t->insert();
  }
  EXPECT_GE(interrupts, 3) << "four elements take three comparisons at least";
  EXPECT_EQ(trace, lines{"sorted 1 2 3 4"});
}

}  // namespace
