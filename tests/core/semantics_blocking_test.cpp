// B14 to B22: who may block, who ends blocked, and who is forgotten. Each test carries the number of the
// behaviour it pins.

#include <algorithm>
#include <optional>

#include "tests/core/trace.hpp"

namespace {

class semantics_blocking : public semantics_case {};

TEST_F(semantics_blocking, B14_block_trap) {
  const std::string trapped = "trap_error: this tasklet does not like to be blocked";
  channel<int> c;
  spawn([&] { c.send(1); });
  run();
  current().block_trap(true);
  out(c.receive());
  out(err([&] { c.receive(); }));
  out(err([&] { c.send(2); }));
  out(c.balance());
  current().block_trap(false);
  run();
  EXPECT_EQ(trace, (lines{"1", trapped, trapped, "0"}));
}

TEST_F(semantics_blocking, B14_block_trap_is_the_tasklets_own) {
  channel<int> c;
  spawn([&] {
    current().block_trap(true);
    schedule();
    out("trapped", err([&] { c.receive(); }), current().block_trap());
  });
  spawn([&] {
    schedule();
    out("got", c.receive(), current().block_trap());
  });
  run();
  c.send(1);
  EXPECT_EQ(trace,
            (lines{"trapped trap_error: this tasklet does not like to be blocked true", "got 1 false"}));
}

TEST_F(semantics_blocking, B15_main_may_block_while_others_can_run) {
  channel<char> c;
  spawn_out("first");
  spawn([&] {
    c.send('v');
    out("sender end");
  });
  out(c.receive());
  out("main");
  run();
  EXPECT_EQ(trace, (lines{"first", "v", "main", "sender end"}));
}

TEST_F(semantics_blocking, B16_deadlock_main_alone) {
  channel<int> c;
  out(err([&] { c.receive(); }));
  out(err([&] { c.send(1); }));
  out(c.balance());
  EXPECT_EQ(trace, (lines{"deadlock_error: Deadlock: the last runnable tasklet cannot be blocked",
                          "deadlock_error: Deadlock: the last runnable tasklet cannot be blocked", "0"}));
}

TEST_F(semantics_blocking, B17_deadlock_last_tasklet_blocks_while_main_is_blocked) {
  channel<int> for_main, for_t;
  spawn([&] {
    out("t:", err([&] { for_t.receive(); }));
    out("t:", err([&] { for_t.send(1); }));
    out("main is", st(main_tasklet()));
  });
  out("main:", err([&] { for_main.receive(); }));
  out(for_main.balance(), for_t.balance());
  EXPECT_EQ(
      trace,
      (lines{"t: deadlock_error: Deadlock: the last runnable tasklet cannot be blocked",
             "t: deadlock_error: Deadlock: the last runnable tasklet cannot be blocked", "main is blocked",
             "main: deadlock_error: the main tasklet is receiving without a sender available", "0 0"}));
}

TEST_F(semantics_blocking, B18_deadlock_last_tasklet_ends_while_main_is_blocked) {
  channel<int> c;
  spawn_out("t");
  out(err([&] { c.receive(); }));
  spawn_out("t");
  out(err([&] { c.send(1); }));
  out(c.balance());
  EXPECT_EQ(trace,
            (lines{"t", "deadlock_error: the main tasklet is receiving without a sender available", "t",
                   "deadlock_error: the main tasklet is sending without a receiver available", "0"}));
}

TEST_F(semantics_blocking, B18_deadlock_last_tasklet_is_removed_while_main_is_blocked) {
  channel<int> c;
  tasklet t = spawn([] {
    schedule_remove();
    out("t");
  });
  out(err([&] { c.receive(); }));
  out(st(t), c.balance());
  t.run();
  EXPECT_EQ(trace, (lines{"deadlock_error: the main tasklet is receiving without a sender available",
                          "paused 0", "t"}));
}

TEST_F(semantics_blocking, B19_run_with_only_blocked_tasklets_left_returns) {
  channel<int> c;
  spawn([&] { out("got", c.receive()); });
  spawn([&] { out("got", c.receive()); });
  run();
  run();
  out(c.balance());
  c.send(1);
  c.send(2);
  EXPECT_EQ(trace, (lines{"-2", "got 1", "got 2"}));
}

TEST_F(semantics_blocking, B20_killing_a_blocked_tasklet_takes_it_out_of_the_queue) {
  channel<int> c;
  tasklet a = spawn([&] { out('a', c.receive()); });
  spawn([&] { out('b', c.receive()); });
  run();
  a.kill();
  out(c.balance());
  c.send(1);
  out(c.balance());
  EXPECT_EQ(trace, (lines{"-1", "b 1", "0"}));
}

TEST_F(semantics_blocking, B20_whoever_of_the_queue_is_killed_the_others_keep_their_order) {
  for (int victim = 0; victim < 3; ++victim) {
    channel<int> c;
    c.preference(1);
    std::vector<tasklet> senders;
    for (int i = 0; i < 3; ++i) senders.push_back(spawn([&c, i] { c.send(i); }));
    run();
    senders[static_cast<unsigned>(victim)].kill();
    const int left = c.balance();
    const int first = c.receive();
    out(left, first, c.receive());
    run();
  }
  EXPECT_EQ(trace, (lines{"2 1 2", "2 0 2", "2 0 1"}));
}

// A cycle of a tasklet and its channel that nobody else knows: nothing is collected here, but it is told of.
TEST_F(semantics_blocking, B21_a_forgotten_tasklet_blocked_on_a_channel_of_its_own_is_listed) {
  {
    tasklet t = spawn([] {
      const auto own = stackless::heap::make<channel<int>>();
      finally f{"finally"};
      own->receive();
    });
    run();
    out("held", stackless::getuncollectables().size());
  }
  out("forgotten", stackless::getuncollectables().size());
  stackless::getuncollectables().front().kill();
  out("killed", stackless::getuncollectables().size());
  EXPECT_EQ(trace, (lines{"held 0", "forgotten 1", "finally", "killed 0"}));
}

TEST_F(semantics_blocking, B21_whoever_waits_on_a_channel_that_goes_away_is_woken_by_an_error) {
  std::optional<channel<int>> c(std::in_place);
  for (char n : {'a', 'b'}) spawn([&c, n] { out(n, err([&] { c->receive(); })); });
  run();
  c.reset();
  out("main", runcount());
  run();
  EXPECT_EQ(trace, (lines{"main 3", "a state_error: what the tasklet waited on was destroyed",
                          "b state_error: what the tasklet waited on was destroyed"}));
}

TEST_F(semantics_blocking, B22_a_forgotten_paused_tasklet_is_unwound) {
  {
    tasklet t = spawn([] {
      finally f{"finally"};
      schedule_remove();
    });
    run();
    out("paused", t.paused());
  }
  out("collected");
  EXPECT_EQ(trace, (lines{"paused true", "finally", "collected"}));
}

TEST_F(semantics_blocking, B22_a_forgotten_tasklet_that_paused_with_a_value_is_unwound) {
  for (bool held : {true, false}) {
    tasklet t = spawn([] {
      finally f{"finally"};
      schedule_remove(1);
      out("never");
    });
    if (!held) t = tasklet();
    run();
    out(held ? "paused" : "not paused");
  }
  EXPECT_EQ(trace, (lines{"paused", "finally", "finally", "not paused"}));
}

TEST_F(semantics_blocking, B22_a_tasklet_that_nobody_could_wake_does_not_pause) {
  spawn([] {
    finally f{"finally"};
    schedule_remove();
    out("never");
  });
  run();
  EXPECT_EQ(trace, (lines{"finally"}));
}

TEST_F(semantics_blocking, B22_a_tasklet_that_nobody_could_wake_does_not_pause_for_another) {
  tasklet other = tasklet::bound([] { out("other"); });
  spawn([&] {
    finally f{"finally"};
    other.switch_to();
    out("never");
  });
  run();
  out(runcount());
  EXPECT_EQ(std::ranges::count(trace, "finally"), 1);
  EXPECT_EQ(std::ranges::count(trace, "never"), 0);
}

}  // namespace
