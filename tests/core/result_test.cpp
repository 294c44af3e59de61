// Tasklets that return something, and waiting for the end of a tasklet.

#include <algorithm>
#include <memory>
#include <stackless/result.hpp>
#include <stdexcept>

#include "tests/core/trace.hpp"

namespace {

using stackless::result;
using stackless::when;

class results : public semantics_case {};
class joining : public semantics_case {};

const std::string no_result = "state_error: the tasklet has no result";

TEST_F(results, value_is_waited_for) {
  result<int> r([](int a, int b) { return a + b; }, 3, 4);
  out(r.ready(), r.tasklet().alive());
  const int value = r.get();
  out(value, r.ready());
  EXPECT_EQ(trace, (lines{"false true", "7 true"}));
}

TEST_F(results, value_of_one_that_has_ended_is_there) {
  result r([] { return std::string("done"); });
  static_assert(std::is_same_v<decltype(r), result<std::string>>);
  run();
  out(r.ready(), r.get());
  EXPECT_EQ(trace, lines{"true done"});
}

TEST_F(results, value_is_moved_and_can_be_taken_once) {
  result r([] { return std::make_unique<int>(5); });
  out(*r.get());
  EXPECT_EQ(err([&] { r.get(); }).substr(0, no_result.size()), no_result);
  EXPECT_EQ(trace, lines{"5"});
}

TEST_F(results, callable_and_arguments_are_moved_in) {
  result<int> r([p = std::make_unique<int>(1)](std::unique_ptr<int> q) { return *p + *q; },
                std::make_unique<int>(2));
  EXPECT_EQ(r.get(), 3);
}

TEST_F(results, nothing_is_waited_for_too) {
  result<void> r([] { out("t"); });
  r.get();
  out("main", r.ready());
  EXPECT_EQ(trace, (lines{"t", "main true"}));
}

TEST_F(results, what_is_returned_is_converted_to_what_was_asked_for) {
  result<double> number([] { return 1; });
  result<void> dropped([] { return 2; });
  EXPECT_EQ(number.get(), 1.0);
  dropped.get();
}

TEST_F(results, exception_is_thrown_by_get_and_by_nobody_else) {
  result<int> r([]() -> int { throw std::runtime_error("boom"); });
  out(err([] { run(); }));
  out(err([&] { r.get(); }));
  EXPECT_EQ(err([&] { r.get(); }).substr(0, no_result.size()), no_result);
  EXPECT_EQ(trace, (lines{"returned", "error: boom"}));
}

TEST_F(results, one_that_was_killed_has_none) {
  result<int> started([] {
    schedule_remove();
    return 1;
  });
  started.tasklet().run();
  result<int> unstarted([] { return 1; });
  for (result<int>* r : {&started, &unstarted}) {
    r->tasklet().kill();
    EXPECT_TRUE(r->ready());
    EXPECT_EQ(err([&] { r->get(); }).substr(0, no_result.size()), no_result);
  }
}

TEST_F(results, tasklet_itself_may_wait_for_another) {
  result<int> outer([] {
    result<int> inner([] {
      schedule();
      return 20;
    });
    return inner.get() + 1;
  });
  EXPECT_EQ(outer.get(), 21);
}

TEST_F(results, dropped_before_it_is_there_the_tasklet_goes_on) {
  auto alive = std::make_shared<int>(1);
  {
    result<std::shared_ptr<int>> r([alive] { return alive; });
  }
  EXPECT_GT(alive.use_count(), 1);
  run();
  EXPECT_EQ(alive.use_count(), 1);
}

TEST_F(results, move_keeps_the_result) {
  result<int> r([] { return 1; });
  result<int> moved = std::move(r);
  EXPECT_EQ(moved.get(), 1);
}

TEST_F(joining, returns_when_the_tasklet_has_ended) {
  tasklet t = spawn([] {
    schedule();
    out("t ends");
  });
  spawn_out("other");
  t.join();
  out("main", st(t));
  EXPECT_EQ(trace, (lines{"other", "t ends", "main dead"}));
}

TEST_F(joining, of_the_dead_and_of_the_never_bound_returns_at_once) {
  tasklet t = spawn_out("t");
  run();
  spawn_out("other");
  t.join();
  tasklet().join();
  out("main");
  run();
  EXPECT_EQ(trace, (lines{"t", "main", "other"}));
}

TEST_F(joining, several_go_on_in_their_order) {
  tasklet t = tasklet::bound([] { out("t ends"); });
  for (char n : {'a', 'b', 'c'}) {
    spawn([&t, n] {
      t.join();
      out(n);
    });
  }
  run();
  out("waiting", runcount());
  t.insert();
  run();
  EXPECT_EQ(trace, (lines{"waiting 1", "t ends", "a", "b", "c"}));
}

TEST_F(joining, itself_is_refused) {
  const std::string refused = "state_error: a tasklet cannot join itself";
  out(err([] { current().join(); }));
  spawn([] { out(err([] { current().join(); })); });
  run();
  EXPECT_EQ(trace, (lines{refused, refused}));
}

TEST_F(joining, one_that_ends_by_an_error_lets_the_joiner_go_on_and_run_throw) {
  tasklet t = spawn([] { throw std::runtime_error("boom"); });
  spawn([&] { out(err([&] { t.join(); })); });
  t.remove();
  run();
  t.insert();
  out(err([] { run(); }));
  run();
  EXPECT_EQ(trace, (lines{"error: boom", "returned"}));
}

TEST_F(joining, main_that_joins_one_that_ends_by_an_error_is_told_of_it) {
  tasklet t = spawn([] { throw std::runtime_error("boom"); });
  out(err([&] { t.join(); }));
  out(runcount());
  EXPECT_EQ(trace, (lines{"error: boom", "1"}));
}

TEST_F(joining, one_that_is_killed_lets_the_joiner_go_on) {
  tasklet started = paused_with_cleanup();
  tasklet unstarted = tasklet::bound([] { out("never"); });
  for (tasklet t : {started, unstarted}) {
    tasklet joiner = spawn([t]() mutable { out(err([&] { t.join(); })); });
    run();
    t.kill();
    run();
    EXPECT_STREQ(st(joiner), "dead");
    joiner.kill();
  }
  EXPECT_EQ(trace, (lines{"cleanup", "returned", "returned"}));
}

TEST_F(joining, joiner_that_is_killed_waits_no_longer) {
  tasklet t = tasklet::bound([] { out("t"); });
  tasklet a = spawn([&] { t.join(); }), b = spawn([&] {
                                          t.join();
                                          out("b");
                                        });
  run();
  a.kill();
  t.run();
  run();
  EXPECT_EQ(trace, (lines{"t", "b"}));
}

TEST_F(joining, blocks_so_it_is_refused_where_blocking_is) {
  tasklet t = tasklet::bound([] {});
  EXPECT_EQ(err([&] { t.join(); }), "deadlock_error: Deadlock: the last runnable tasklet cannot be blocked");
  spawn_out("other");
  current().block_trap(true);
  EXPECT_EQ(err([&] { t.join(); }), "trap_error: this tasklet does not like to be blocked");
  current().block_trap(false);
  run();
  EXPECT_EQ(st(t), std::string("paused"));
}

TEST_F(joining, handle_may_go_while_somebody_waits) {
  spawn([] {
    const auto the_only_one = std::make_shared<tasklet>(spawn([] {
      schedule();
      out("t ends");
    }));
    spawn([the_only_one] { *the_only_one = tasklet(); });
    the_only_one->join();
    out("joined");
  });
  run();
  EXPECT_EQ(trace, (lines{"t ends", "joined"}));
}

}  // namespace
