// A19 and A20: what a tasklet is bound to. Each test carries the number of the behaviour it pins.

#include <type_traits>

#include "tests/core/trace.hpp"

namespace {

class semantics_binding : public semantics_case {};

static_assert(!std::is_constructible_v<tasklet, int>, "A19: a function must be callable");

TEST_F(semantics_binding, A19_bind_and_setup_errors) {
  out(err([] { tasklet().setup(); }));
  tasklet a = spawn_out("a");
  out(err([&] { a.setup(); }));
  out(err([&] { a.arm(); }));
  out(err([&] { a.unbind(); }));
  out(err([&] { a.bind([] {}); }));
  out(err([] { current().bind([] {}); }));
  spawn([] { out(err([] { main_tasklet().unbind(); })); });
  run();
  out(st(a), runcount());
  const std::string alive = "state_error: tasklet is alive", scheduled = "state_error: tasklet is scheduled";
  EXPECT_EQ(trace, (lines{"state_error: the tasklet was not bound to a function", alive, alive, scheduled,
                          scheduled, "state_error: can't (re)bind the current tasklet", "a",
                          "state_error: can't unbind the main tasklet", "dead 1"}));
}

TEST_F(semantics_binding, A19_a_blocked_tasklet_cannot_be_bound) {
  channel<int> c;
  tasklet t = spawn([&] { out("got", c.receive()); });
  run();
  out(err([&] { t.bind([] {}); }));
  c.send(1);
  EXPECT_EQ(trace, (lines{"state_error: tasklet is scheduled", "got 1"}));
}

TEST_F(semantics_binding, A19_a_tasklet_that_has_ended_is_bound_and_set_up_again) {
  tasklet t = spawn_out("first");
  run();
  out(err([&] { t.setup(); }));
  t.bind([] { out("second"); }).setup();
  t.insert();
  run();
  t.bind([](int n) { out("third", n); }, 3);
  out(st(t));
  t.run();
  EXPECT_EQ(trace, (lines{"first", "state_error: the tasklet was not bound to a function", "second", "paused",
                          "third 3"}));
}

// The original forgets the frames; here destructors run.
TEST_F(semantics_binding, A20_unbind_unwinds_a_paused_tasklet) {
  tasklet t = paused_with_cleanup();
  t.unbind();
  out("alive", t.alive());
  t.bind([](const char* text) { out(text); }, "again").insert();
  run();
  EXPECT_EQ(trace, (lines{"cleanup", "alive false", "again"}));
}

TEST_F(semantics_binding, A20_bind_unwinds_a_paused_tasklet) {
  tasklet t = paused_with_cleanup();
  t.bind([] { out("again"); });
  out("alive", t.alive());
  t.setup();
  run();
  EXPECT_EQ(trace, (lines{"cleanup", "alive false", "again"}));
}

TEST_F(semantics_binding, A20_a_tasklet_that_refuses_to_die_is_not_bound) {
  tasklet t = spawn([] {
    while (err([] { schedule_remove(); }) == "TaskletExit") out("refused");
    out("ends");
  });
  run();
  EXPECT_EQ(err([&] { t.bind([](int) { out("never"); }, 1); }).substr(0, 11), "state_error");
  out(st(t));
  t.run();
  out(st(t));
  EXPECT_EQ(trace, (lines{"refused", "paused", "ends", "dead"}));
}

}  // namespace
