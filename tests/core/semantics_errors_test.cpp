// C: errors, kill and throw as Stackless has them. Each test carries the number of the behaviour it pins.

#include <stdexcept>
#include <type_traits>

#include "tests/core/trace.hpp"

namespace {

class semantics_errors : public semantics_case {};

using stackless::when;

static_assert(!std::is_base_of_v<std::exception, TaskletExit>, "handlers of ordinary errors leave it alone");

/// Two arguments, as exceptions of the reference have.
struct pair_error {
  int first, second;
};

TEST_F(semantics_errors, C01_an_uncaught_exception_ends_run) {
  spawn_out("a");
  spawn([] {
    out("bad");
    throw std::runtime_error("boom");
  });
  spawn_out("b");
  out(err([] { run(); }));
  out(runcount());
  run();
  EXPECT_EQ(trace, (lines{"a", "bad", "error: boom", "2", "b"}));
}

TEST_F(semantics_errors, C02_TaskletExit_is_silent) {
  spawn([] {
    out("f");
    throw TaskletExit{};
  });
  spawn_out("g");
  out(err([] { run(); }));
  EXPECT_EQ(trace, (lines{"f", "g", "returned"}));
}

TEST_F(semantics_errors, C03_kill_is_immediate) {
  tasklet t = paused_with_cleanup();
  t.kill();
  out("killer", t.alive());
  EXPECT_EQ(trace, (lines{"cleanup", "killer false"}));
}

TEST_F(semantics_errors, C04_kill_of_a_scheduled_tasklet_follows_the_ring) {
  spawn([] {
    out("before");
    schedule();
    out("before again");
  });
  tasklet t = spawn([] {
    finally f{"cleanup"};
    schedule();
  });
  schedule();
  spawn_out("after");
  t.kill();
  out("killer", t.alive());
  run();
  EXPECT_EQ(trace, (lines{"before", "cleanup", "after", "killer false", "before again"}));
}

TEST_F(semantics_errors, C05_kill_pending) {
  tasklet t = paused_with_cleanup();
  spawn_out("other");
  t.kill(when::pending);
  out("killer continues", t.alive());
  run();
  out(t.alive());
  EXPECT_EQ(trace, (lines{"killer continues true", "other", "cleanup", "false"}));
}

TEST_F(semantics_errors, C05_kill_pending_of_a_blocked_or_scheduled_tasklet) {
  channel<int> c;
  tasklet blocked = spawn([&] {
    finally f{"blocked"};
    c.receive();
  });
  run();
  tasklet scheduled = spawn_out("never");
  spawn_out("other");
  blocked.kill(when::pending);
  scheduled.kill(when::pending);
  out(c.balance(), st(blocked), st(scheduled), runcount());
  run();
  EXPECT_EQ(trace, (lines{"0 scheduled scheduled 4", "other", "blocked"}));
}

TEST_F(semantics_errors, C06_killing_a_tasklet_that_never_started) {
  tasklet scheduled = spawn_out("never");
  tasklet paused = tasklet::bound([] { out("never"); });
  scheduled.kill();
  paused.kill();
  out(scheduled.alive(), paused.alive(), runcount());
  run();
  EXPECT_EQ(trace, (lines{"false false 1"}));
}

TEST_F(semantics_errors, C06_pending_kill_of_a_tasklet_that_never_started) {
  tasklet t = tasklet::bound([] { out("never"); });
  t.kill(when::pending);
  out(st(t), runcount());
  run();
  out(st(t));
  EXPECT_EQ(trace, (lines{"scheduled 2", "dead"}));
}

TEST_F(semantics_errors, C07_kill_and_throw_on_the_dead) {
  const auto throw_to = [](tasklet t, when w) {
    return err([&] { t.throw_exception(std::make_exception_ptr(std::runtime_error("e")), w); });
  };
  tasklet t = spawn_out("x");
  run();
  out(err([&] { t.kill(); }), err([&] { t.kill(when::pending); }), err([&] { t.raise(TaskletExit{}); }));
  out(throw_to(t, when::now));
  out(throw_to(t, when::pending));
  out(err([&] { t.raise(std::runtime_error("e")); }));
  out(throw_to(tasklet(), when::now));
  const std::string dead = "state_error: You cannot throw to a dead tasklet";
  EXPECT_EQ(trace, (lines{"x", "returned returned returned", dead, dead, dead, dead}));
}

TEST_F(semantics_errors, C08_a_tasklet_may_refuse_to_die) {
  tasklet t = spawn([] {
    try {
      schedule_remove();
    } catch (const TaskletExit&) {
      out("refused");
    }
    schedule_remove();
    out("still here");
  });
  run();
  t.kill();
  out(t.alive(), st(t));
  t.insert();
  run();
  EXPECT_EQ(trace, (lines{"refused", "true paused", "still here"}));
}

TEST_F(semantics_errors, C09_throw_at_a_blocked_tasklet) {
  channel<int> c;
  tasklet t = spawn([&] {
    out(err([&] { c.receive(); }));
    out("t goes on", c.balance());
  });
  run();
  spawn_out("other");
  t.raise(std::runtime_error("thrown"));
  out("main", st(t));
  run();
  EXPECT_EQ(trace, (lines{"error: thrown", "t goes on 0", "main dead", "other"}));
}

TEST_F(semantics_errors, C09_throw_at_a_blocked_sender_drops_its_value) {
  channel<std::string> c;
  tasklet t = spawn([&] { out(err([&] { c.send("value"); })); });
  run();
  t.raise(std::runtime_error("thrown"));
  out(c.balance());
  out(err([&] { c.receive(); }));
  EXPECT_EQ(trace, (lines{"error: thrown", "0",
                          "deadlock_error: Deadlock: the last runnable tasklet cannot be blocked"}));
}

TEST_F(semantics_errors, C10_throw_pending) {
  channel<int> c;
  tasklet t = spawn([&] { out("caught", err([&] { c.receive(); })); });
  run();
  spawn_out("first?");
  t.throw_exception(std::make_exception_ptr(std::runtime_error("x")), when::pending);
  out("main", st(t), c.balance());
  run();
  EXPECT_EQ(trace, (lines{"main scheduled 0", "first?", "caught error: x"}));
}

TEST_F(semantics_errors, C10_the_last_of_several_pending_throws_counts) {
  tasklet t = spawn([] { out(err([] { schedule_remove(); })); });
  run();
  for (const char* text : {"first", "second"}) {
    t.throw_exception(std::make_exception_ptr(std::runtime_error(text)), when::pending);
  }
  run();
  EXPECT_EQ(trace, (lines{"error: second"}));
}

TEST_F(semantics_errors, C11_throw_into_oneself_raises_at_once) {
  for (const when w : {when::now, when::pending}) {
    out(err([w] { current().throw_exception(std::make_exception_ptr(std::runtime_error("me")), w); }));
    out(err([w] { current().kill(w); }));
  }
  EXPECT_EQ(trace, (lines{"error: me", "TaskletExit", "error: me", "TaskletExit"}));
}

TEST_F(semantics_errors, C12_an_exception_thrown_into_a_tasklet_that_never_started) {
  tasklet paused = tasklet::bound([] { out("never"); });
  out(err([&] { paused.raise(std::runtime_error("boom")); }));
  out(st(paused));
  tasklet scheduled = spawn_out("never");
  scheduled.throw_exception(std::make_exception_ptr(std::runtime_error("later")), when::pending);
  out(err([] { run(); }));
  out(st(scheduled));
  EXPECT_EQ(trace, (lines{"error: boom", "dead", "error: later", "dead"}));
}

TEST_F(semantics_errors, C13_raise) {
  tasklet t = spawn([] {
    try {
      schedule_remove();
    } catch (const pair_error& e) {
      out("caught", e.first, e.second);
    }
  });
  run();
  t.raise(pair_error{1, 2});
  out("main");
  EXPECT_EQ(trace, (lines{"caught 1 2", "main"}));
}

TEST_F(semantics_errors, C14_error_handler) {
  const auto bad = [] { throw std::runtime_error("v"); };
  const auto handler = [](const std::exception_ptr& e) {
    out("handler", err([&] { std::rethrow_exception(e); }));
  };
  out(stackless::set_error_handler(handler) != nullptr);
  spawn(bad);
  spawn_out("next");
  run();
  out(stackless::set_error_handler(nullptr) != nullptr);
  spawn(bad);
  out("without", err([] { run(); }));
  EXPECT_EQ(trace, (lines{"false", "handler error: v", "next", "true", "without error: v"}));
}

TEST_F(semantics_errors, C14_what_the_error_handler_throws_run_throws) {
  stackless::set_error_handler([](const std::exception_ptr&) { throw std::runtime_error("of the handler"); });
  spawn([] { throw std::runtime_error("of the tasklet"); });
  spawn_out("next");
  out(err([] { run(); }));
  out(runcount());
  stackless::set_error_handler(nullptr);
  run();
  EXPECT_EQ(trace, (lines{"error: of the handler", "2", "next"}));
}

TEST_F(semantics_errors, C14_the_error_handler_is_not_told_of_TaskletExit) {
  stackless::set_error_handler([](const std::exception_ptr&) { out("handler"); });
  tasklet t = paused_with_cleanup();
  t.kill();
  stackless::set_error_handler(nullptr);
  EXPECT_EQ(trace, (lines{"cleanup"}));
}

TEST_F(semantics_errors, C15_errors_go_to_the_innermost_run) {
  spawn([] {
    spawn([] { throw std::runtime_error("inner"); });
    out(err([] { run(); }));
  });
  out("main", err([] { run(); }));
  EXPECT_EQ(trace, (lines{"error: inner", "main returned"}));
}

TEST_F(semantics_errors, C16_killing_oneself_ends_silently) {
  spawn([] {
    finally f{"cleanup"};
    current().kill();
    out("never");
  });
  spawn_out("other");
  out(err([] { run(); }));
  EXPECT_EQ(trace, (lines{"cleanup", "other", "returned"}));
}

// The original puts a bomb into the tempval of a paused tasklet, and inserts it.
TEST_F(semantics_errors, C17_a_bomb_for_a_paused_tasklet_explodes_when_it_runs) {
  tasklet t = spawn([] { out("caught", err([] { schedule_remove(0); })); });
  run();
  t.throw_exception(std::make_exception_ptr(std::runtime_error("b")), when::pending);
  out(st(t));
  run();
  EXPECT_EQ(trace, (lines{"scheduled", "caught error: b"}));
}

}  // namespace
