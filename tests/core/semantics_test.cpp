// Tasklets, the ring and channels as Stackless has them. Each test carries the number of the behaviour it
// pins.

#include "tests/core/trace.hpp"

namespace {

class semantics : public semantics_case {};

std::string flags(const tasklet& t) {
  std::ostringstream line;
  line << "alive=" << t.alive() << " paused=" << t.paused() << " scheduled=" << t.scheduled()
       << " blocked=" << t.blocked();
  return line.str();
}

TEST_F(semantics, A01_spawn_is_fifo_and_does_not_switch) {
  for (int i = 1; i <= 3; ++i) spawn([i] { out('t', i); });
  out("main before");
  run();
  out("main after");
  EXPECT_EQ(trace, (lines{"main before", "t 1", "t 2", "t 3", "main after"}));
}

TEST_F(semantics, A02_channel_demo) {
  channel<std::string> c;
  spawn([&] {
    out("recv start");
    out(c.receive());
    out("recv end");
  });
  spawn([&] {
    out("send start");
    c.send("value");
    out("send end");
  });
  spawn_out("another");
  run();
  EXPECT_EQ(trace, (lines{"recv start", "send start", "value", "recv end", "another", "send end"}));
}

TEST_F(semantics, A03_schedule_is_round_robin) {
  for (char n : {'a', 'b', 'c'}) {
    spawn([n] {
      for (int i = 0; i < 2; ++i) {
        out(n, i);
        schedule();
      }
      out(n, "end");
    });
  }
  run();
  EXPECT_EQ(trace, (lines{"a 0", "b 0", "c 0", "a 1", "b 1", "c 1", "a end", "b end", "c end"}));
}

TEST_F(semantics, A04_spawn_from_inside_goes_to_the_end) {
  spawn([] {
    out("p");
    spawn_out("child");
    out("p end");
  });
  spawn_out("sibling");
  run();
  EXPECT_EQ(trace, (lines{"p", "p end", "sibling", "child"}));
}

TEST_F(semantics, A05_runcount_counts_the_caller) {
  out(runcount());
  for (int i = 0; i < 2; ++i) spawn([] { out("inside", runcount()); });
  out(runcount());
  run();
  out(runcount());
  EXPECT_EQ(trace, (lines{"1", "3", "inside 2", "inside 1", "1"}));
}

TEST_F(semantics, A06_run_nests_and_the_innermost_returns_first) {
  spawn([] {
    spawn_out("inner");
    out("before");
    run();
    out("after");
  });
  spawn([] {
    run();
    out("second caller", runcount());
  });
  run();
  out("main");
  EXPECT_EQ(trace, (lines{"before", "inner", "second caller 1", "after", "main"}));
}

TEST_F(semantics, A07_run_of_a_scheduled_tasklet_keeps_ring_order) {
  spawn_out("a");
  tasklet b = spawn_out("b");
  spawn_out("c");
  b.run();
  out("main", runcount());
  run();
  EXPECT_EQ(trace, (lines{"b", "c", "main 2", "a"}));
}

TEST_F(semantics, A08_run_of_a_paused_tasklet) {
  spawn_out("other");
  tasklet t = tasklet::bound([] { out("t", runcount()); });
  t.run();
  out("main", runcount());
  run();
  EXPECT_EQ(trace, (lines{"t 3", "main 2", "other"}));
}

TEST_F(semantics, A10_insert_is_idempotent_and_does_not_reorder) {
  tasklet a = spawn_out("a");
  spawn_out("b");
  a.insert();
  a.insert();
  out(runcount());
  run();
  EXPECT_EQ(trace, (lines{"3", "a", "b"}));
}

TEST_F(semantics, A11_remove_pauses_and_insert_appends) {
  tasklet a = spawn_out("a");
  spawn_out("b");
  out(st(a.remove()));
  out(st(a.insert()));
  run();
  EXPECT_EQ(trace, (lines{"paused", "scheduled", "b", "a"}));
}

TEST_F(semantics, A12_remove_errors) {
  channel<int> c;
  tasklet t = spawn([&] { c.receive(); });
  run();
  out(err([] { current().remove(); }));
  out(err([&] { t.remove(); }));
  tasklet p = tasklet::bound([] { out("p"); });
  p.remove();
  out("paused remove ok", st(p));
  c.send(0);
  out(err([&] { t.remove(); }));
  EXPECT_EQ(trace, (lines{"state_error: The current tasklet cannot be removed",
                          "state_error: You cannot remove a blocked tasklet", "paused remove ok paused",
                          "returned"}));
}

TEST_F(semantics, A13_insert_and_run_errors) {
  channel<int> c;
  tasklet t = spawn([&] { c.receive(); });
  run();
  out(err([&] { t.insert(); }));
  out(err([&] { t.run(); }));
  tasklet d = spawn_out("d");
  run();
  out(err([&] { d.insert(); }));
  out(err([&] { d.run(); }));
  c.send(0);
  EXPECT_EQ(trace, (lines{"state_error: You cannot run a blocked tasklet",
                          "state_error: You cannot run a blocked tasklet", "d",
                          "state_error: You cannot run an unbound(dead) tasklet",
                          "state_error: You cannot run an unbound(dead) tasklet"}));
}

TEST_F(semantics, A16_schedule_remove_of_the_only_runnable_tasklet) {
  schedule_remove();
  out(st(main_tasklet()), runcount());
  EXPECT_EQ(trace, (lines{"current 1"}));
}

TEST_F(semantics, A16_schedule_remove_of_the_last_tasklet_revives_a_paused_main) {
  tasklet t = spawn([] {
    out("main is", st(main_tasklet()));
    schedule_remove();
    out("t");
  });
  schedule_remove();
  out("t is", st(t));
  t.run();
  EXPECT_EQ(trace, (lines{"main is paused", "t is paused", "t"}));
}

TEST_F(semantics, A18_states_through_the_life_of_a_tasklet) {
  channel<int> c;
  tasklet t = tasklet::bound([&] {
    out("running ", flags(current()));
    c.receive();
  });
  out("bound   ", flags(t));
  t.insert();
  out("inserted", flags(t));
  run();
  out("blocked ", flags(t));
  c.send(0);
  out("dead    ", flags(t));
  out("main    ", flags(main_tasklet()));
  EXPECT_EQ(trace, (lines{"bound    alive=1 paused=1 scheduled=0 blocked=0",
                          "inserted alive=1 paused=0 scheduled=1 blocked=0",
                          "running  alive=1 paused=0 scheduled=1 blocked=0",
                          "blocked  alive=1 paused=0 scheduled=1 blocked=1",
                          "dead     alive=0 paused=0 scheduled=0 blocked=0",
                          "main     alive=1 paused=0 scheduled=1 blocked=0"}));
}

TEST_F(semantics, A21_run_of_the_current_tasklet_does_nothing) {
  spawn_out("other");
  current().run();
  out("main");
  run();
  EXPECT_EQ(trace, (lines{"main", "other"}));
}

TEST_F(semantics, A24_pumping_runs_each_once_per_pump) {
  channel<int> c;
  c.preference(1);
  for (char n : {'a', 'b'}) {
    spawn([&c, n] {
      for (int i = 0; i < 2; ++i) out(n, c.receive());
    });
  }
  run();
  for (int pump = 1; pump <= 2; ++pump) {
    while (c.balance() < 0) c.send(pump);
    out("pump", pump);
    run();
  }
  EXPECT_EQ(trace, (lines{"pump 1", "a 1", "b 1", "pump 2", "a 2", "b 2"}));
}

}  // namespace
