// A: tasklets and the ring as Stackless has them. Each test carries the number of the behaviour it pins.

#include <algorithm>
#include <any>

#include "tests/core/trace.hpp"

namespace {

class semantics_tasklets : public semantics_case {};

std::string flags(const tasklet& t) {
  std::ostringstream line;
  line << "alive=" << t.alive() << " paused=" << t.paused() << " scheduled=" << t.scheduled()
       << " blocked=" << t.blocked() << " current=" << t.is_current() << " main=" << t.is_main();
  return line.str();
}

TEST_F(semantics_tasklets, A01_spawn_is_fifo_and_does_not_switch) {
  for (int i = 1; i <= 3; ++i) spawn([i] { out('t', i); });
  out("main before");
  run();
  out("main after");
  EXPECT_EQ(trace, (lines{"main before", "t 1", "t 2", "t 3", "main after"}));
}

TEST_F(semantics_tasklets, A02_channel_demo) {
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

TEST_F(semantics_tasklets, A03_schedule_is_round_robin) {
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

TEST_F(semantics_tasklets, A04_spawn_from_inside_goes_to_the_end) {
  spawn([] {
    out("p");
    spawn_out("child");
    out("p end");
  });
  spawn_out("sibling");
  run();
  EXPECT_EQ(trace, (lines{"p", "p end", "sibling", "child"}));
}

TEST_F(semantics_tasklets, A05_runcount_counts_the_caller) {
  out(runcount());
  for (int i = 0; i < 2; ++i) spawn([] { out("inside", runcount()); });
  out(runcount());
  run();
  out(runcount());
  EXPECT_EQ(trace, (lines{"1", "3", "inside 2", "inside 1", "1"}));
}

TEST_F(semantics_tasklets, A06_run_nests_and_the_innermost_returns_first) {
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

TEST_F(semantics_tasklets, A06_an_inner_run_returns_though_the_outer_one_was_woken_before) {
  tasklet inner = spawn([] {
    spawn([] { main_tasklet().insert(); });
    run();
    out("inner");
  });
  run();
  out("woken", st(inner));
  for (int i = 0; i < 3 && inner.alive(); ++i) run();
  out(st(inner));
  inner.kill();
  EXPECT_EQ(std::ranges::count(trace, "inner"), 1);
  EXPECT_EQ(trace.back(), "dead");
}

TEST_F(semantics_tasklets, A07_run_of_a_scheduled_tasklet_keeps_ring_order) {
  spawn_out("a");
  tasklet b = spawn_out("b");
  spawn_out("c");
  b.run();
  out("main", runcount());
  run();
  EXPECT_EQ(trace, (lines{"b", "c", "main 2", "a"}));
}

TEST_F(semantics_tasklets, A08_run_of_a_paused_tasklet) {
  spawn_out("other");
  tasklet t = tasklet::bound([] { out("t", runcount()); });
  t.run();
  out("main", runcount());
  run();
  EXPECT_EQ(trace, (lines{"t 3", "main 2", "other"}));
}

TEST_F(semantics_tasklets, A08_when_a_paused_tasklet_that_was_run_gives_way_the_caller_is_next) {
  spawn_out("other");
  tasklet t = tasklet::bound([] {
    out("t");
    schedule();
    out("t again");
  });
  t.run();
  out("main");
  run();
  EXPECT_EQ(trace, (lines{"t", "main", "other", "t again"}));
}

TEST_F(semantics_tasklets, A09_switch_to_pauses_the_caller) {
  tasklet m = current();
  tasklet t = spawn([&] {
    out("f", st(m));
    m.insert();
    out("f end");
  });
  t.switch_to();
  out("main again", st(m));
  EXPECT_EQ(trace, (lines{"f paused", "f end", "main again current"}));
}

TEST_F(semantics_tasklets, A09_switch_to_follows_the_ring_from_the_target) {
  tasklet m = current();
  spawn_out("a");
  tasklet b = tasklet::bound([&] {
    out("b", runcount());
    m.insert();
  });
  b.switch_to();
  out("main");
  run();
  EXPECT_EQ(trace, (lines{"b 2", "a", "main"}));
}

TEST_F(semantics_tasklets, A10_insert_is_idempotent_and_does_not_reorder) {
  tasklet a = spawn_out("a");
  spawn_out("b");
  a.insert();
  a.insert();
  out(runcount());
  run();
  EXPECT_EQ(trace, (lines{"3", "a", "b"}));
}

TEST_F(semantics_tasklets, A11_remove_pauses_and_insert_appends) {
  tasklet a = spawn_out("a");
  spawn_out("b");
  out(st(a.remove()));
  out(st(a.insert()));
  run();
  EXPECT_EQ(trace, (lines{"paused", "scheduled", "b", "a"}));
}

TEST_F(semantics_tasklets, A12_remove_errors) {
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

TEST_F(semantics_tasklets, A13_insert_and_run_errors) {
  const std::string dead = "state_error: You cannot run an unbound(dead) tasklet";
  channel<int> c;
  tasklet t = spawn([&] { c.receive(); });
  run();
  out(err([&] { t.insert(); }));
  out(err([&] { t.run(); }));
  tasklet d = spawn_out("d");
  run();
  out(err([&] { d.insert(); }));
  out(err([&] { d.run(); }));
  out(err([] { tasklet().insert(); }));
  out(err([&] { d.switch_to(); }));
  out(c.balance(), runcount());
  c.send(0);
  EXPECT_EQ(trace,
            (lines{"state_error: You cannot run a blocked tasklet",
                   "state_error: You cannot run a blocked tasklet", "d", dead, dead, dead, dead, "-1 1"}));
}

TEST_F(semantics_tasklets, A14_schedule_returns_its_value) {
  spawn_out("other");
  out(schedule(std::string("x")));
  out(schedule(7));
  EXPECT_EQ(trace, (lines{"other", "x", "7"}));
}

TEST_F(semantics_tasklets, A14_schedule_returns_what_was_left_meanwhile) {
  tasklet m = current();
  spawn([&] { m.tempval(8); });
  out(schedule(7));
  spawn([&] { m.tempval(std::string("of another type")); });
  EXPECT_THROW(schedule(7), std::bad_any_cast);
  EXPECT_EQ(trace, (lines{"8"}));
}

TEST_F(semantics_tasklets, A15_schedule_remove_and_tempval) {
  using std::string;
  tasklet t = spawn([] {
    for (int i = 0; i < 2; ++i) out(schedule_remove(string("default")));
  });
  run();
  out(st(t));
  t.tempval(string("changed"));
  for (int i = 0; i < 2; ++i) {
    t.insert();
    run();
  }
  EXPECT_EQ(trace, (lines{"paused", "changed", "default"}));
}

TEST_F(semantics_tasklets, A16_schedule_remove_of_the_only_runnable_tasklet) {
  out(schedule_remove('v'));
  schedule_remove();
  out(st(main_tasklet()), runcount());
  EXPECT_EQ(trace, (lines{"v", "current 1"}));
}

TEST_F(semantics_tasklets, A16_schedule_remove_of_the_last_tasklet_revives_a_paused_main) {
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

TEST_F(semantics_tasklets, A17_what_a_tasklet_returns_is_dropped) {
  tasklet t = spawn([] { return 42; });
  out(run().has_value());
  EXPECT_THROW(t.take_tempval<int>(), std::bad_any_cast);
  out(t.alive());
  EXPECT_EQ(trace, (lines{"false", "false"}));
}

TEST_F(semantics_tasklets, A18_states_through_the_life_of_a_tasklet) {
  channel<int> c;
  tasklet t;
  out("unbound ", flags(t));
  t.bind([&] {
    out("running ", flags(current()));
    c.receive();
  });
  out("bound   ", flags(t));
  t.arm();
  out("args    ", flags(t));
  t.insert();
  out("inserted", flags(t));
  run();
  out("blocked ", flags(t));
  c.send(0);
  out("dead    ", flags(t));
  out("main    ", flags(main_tasklet()));
  EXPECT_EQ(trace, (lines{"unbound  alive=0 paused=0 scheduled=0 blocked=0 current=0 main=0",
                          "bound    alive=0 paused=0 scheduled=0 blocked=0 current=0 main=0",
                          "args     alive=1 paused=1 scheduled=0 blocked=0 current=0 main=0",
                          "inserted alive=1 paused=0 scheduled=1 blocked=0 current=0 main=0",
                          "running  alive=1 paused=0 scheduled=1 blocked=0 current=1 main=0",
                          "blocked  alive=1 paused=0 scheduled=1 blocked=1 current=0 main=0",
                          "dead     alive=0 paused=0 scheduled=0 blocked=0 current=0 main=0",
                          "main     alive=1 paused=0 scheduled=1 blocked=0 current=1 main=1"}));
}

TEST_F(semantics_tasklets, A21_run_and_switch_to_of_the_current_tasklet_do_nothing) {
  spawn_out("other");
  current().run();
  current().switch_to();
  out("main", st(current()));
  run();
  EXPECT_EQ(trace, (lines{"main current", "other"}));
}

TEST_F(semantics_tasklets, A22_the_ring_can_be_walked) {
  tasklet a = spawn_out("a"), b = spawn_out("b"), p = tasklet::bound([] {});
  const tasklet m = current();
  out(m.next() == a, a.next() == b, b.next() == m);
  out(m.prev() == b, b.prev() == a, a.prev() == m);
  out(p.next().has_value(), p.prev().has_value());
  run();
  out(a.next().has_value(), m.next() == m, m.prev() == m);
  EXPECT_EQ(trace, (lines{"true true true", "true true true", "false false", "a", "b", "false true true"}));
}

TEST_F(semantics_tasklets, A22_the_queue_of_a_channel_can_be_walked_and_ends) {
  channel<int> c;
  tasklet a = spawn([&] { c.receive(); }), b = spawn([&] { c.receive(); });
  run();
  out(c.queue() == a, a.next() == b, b.next().has_value());
  out(b.prev() == a, a.prev().has_value());
  for (int i = 0; i < 2; ++i) c.send(i);
  EXPECT_EQ(trace, (lines{"true true false", "true false"}));
}

TEST_F(semantics_tasklets, A23_handing_over_with_tempval_through_run) {
  tasklet t = spawn([] { out("w got", schedule_remove(0)); });
  run();
  t.tempval(7);
  t.run();
  out("main");
  EXPECT_EQ(trace, (lines{"w got 7", "main"}));
}

TEST_F(semantics_tasklets, A24_pumping_runs_each_once_per_pump) {
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
