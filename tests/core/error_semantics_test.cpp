// Errors and kill as Stackless has them. Each test carries the number of the behaviour it pins.

#include <stdexcept>

#include "tests/core/trace.hpp"

namespace {

class error_semantics : public semantics_case {};

/// Writes a line when it goes out of scope: the `finally` of the reference.
struct finally {
  const char* line;
  ~finally() { out(line); }
};

TEST_F(error_semantics, C01_an_uncaught_exception_ends_run) {
  spawn_out("a");
  spawn([] {
    out("bad");
    throw std::runtime_error("boom");
  });
  spawn_out("b");
  out(err(run));
  out(runcount());
  run();
  EXPECT_EQ(trace, (lines{"a", "bad", "error: boom", "2", "b"}));
}

TEST_F(error_semantics, C02_TaskletExit_is_silent) {
  spawn([] {
    out("f");
    throw TaskletExit{};
  });
  spawn_out("g");
  out(err(run));
  EXPECT_EQ(trace, (lines{"f", "g", "returned"}));
}

TEST_F(error_semantics, C03_kill_is_immediate) {
  tasklet t = spawn([] {
    finally f{"cleanup"};
    schedule_remove();
  });
  run();
  t.kill();
  out("killer", t.alive());
  EXPECT_EQ(trace, (lines{"cleanup", "killer false"}));
}

TEST_F(error_semantics, C04_kill_of_a_scheduled_tasklet_follows_the_ring) {
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

TEST_F(error_semantics, C06_killing_a_tasklet_that_never_started) {
  tasklet scheduled = spawn_out("never");
  tasklet paused = tasklet::bound([] { out("never"); });
  scheduled.kill();
  paused.kill();
  out(scheduled.alive(), paused.alive(), runcount());
  run();
  EXPECT_EQ(trace, (lines{"false false 1"}));
}

TEST_F(error_semantics, C07_kill_of_the_dead_does_nothing) {
  tasklet t = spawn_out("x");
  run();
  t.kill();
  out(err([&] { t.kill(); }));
  EXPECT_EQ(trace, (lines{"x", "returned"}));
}

TEST_F(error_semantics, C08_a_tasklet_may_refuse_to_die) {
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

TEST_F(error_semantics, C11_kill_of_oneself_raises_at_once) {
  out(err([] { current().kill(); }));
  EXPECT_EQ(trace, (lines{"TaskletExit"}));
}

TEST_F(error_semantics, C15_errors_go_to_the_innermost_run) {
  spawn([] {
    spawn([] { throw std::runtime_error("inner"); });
    out(err(run));
  });
  out("main", err(run));
  EXPECT_EQ(trace, (lines{"error: inner", "main returned"}));
}

TEST_F(error_semantics, C16_killing_oneself_ends_silently) {
  spawn([] {
    finally f{"cleanup"};
    current().kill();
    out("never");
  });
  spawn_out("other");
  out(err(run));
  EXPECT_EQ(trace, (lines{"cleanup", "other", "returned"}));
}

}  // namespace
