// What a tasklet can be asked, and what it leaves behind in its thread when it ends.

#include <any>
#include <stdexcept>

#include "tests/core/trace.hpp"

namespace {

class names : public semantics_case {};
class traces_left : public semantics_case {};

const std::string dislikes = "trap_error: this tasklet does not like to be blocked";

TEST_F(names, are_empty_until_given) {
  tasklet t = spawn([] { out("I am", current().name()); });
  out(t.name().empty(), main_tasklet().name().empty());
  t.name("one");
  t.name("another, which is too long to lie beside it");
  out(t.name());
  run();
  out(t.name());
  EXPECT_EQ(trace, (lines{"true true", "another, which is too long to lie beside it",
                          "I am another, which is too long to lie beside it",
                          "another, which is too long to lie beside it"}));
}

TEST_F(names, are_seen_through_every_handle) {
  tasklet t = spawn([] {}), copy = t;
  t.name("t");
  out(copy.name(), current().next()->name());
  run();
  EXPECT_EQ(trace, lines{"t t"});
}

TEST_F(names, current_and_main) {
  const tasklet m = current();
  out(m.is_current(), m.is_main(), m == main_tasklet());
  tasklet t = spawn([&] {
    out(m.is_current(), m.is_main(), m == main_tasklet());
    out(current().is_current(), current().is_main(), current() == main_tasklet());
  });
  out(t.is_current(), t.is_main());
  run();
  EXPECT_EQ(trace, (lines{"true true true", "false false", "false true true", "true false false"}));
}

TEST_F(names, a_tempval_is_of_the_type_it_was_given) {
  tasklet t = tasklet::bound([] {});
  EXPECT_THROW(t.take_tempval<int>(), std::bad_any_cast);
  t.tempval(7);
  EXPECT_THROW(t.take_tempval<long>(), std::bad_any_cast);
  EXPECT_EQ(t.take_tempval<int>(), 7);
  EXPECT_THROW(t.take_tempval<int>(), std::bad_any_cast);
}

TEST_F(names, set_atomic_returns_the_setting_before) {
  tasklet t = tasklet::bound([] {});
  for (bool on : {true, true, false, false}) {
    const bool before = t.set_atomic(on);
    out(before, t.atomic());
  }
  EXPECT_EQ(trace, (lines{"false true", "true true", "true false", "false false"}));
}

TEST_F(traces_left, block_trap_ends_with_its_tasklet) {
  channel<int> c;
  tasklet t = spawn([&] {
    current().block_trap(true);
    out(err([&] { c.receive(); }));
  });
  run();
  out(t.block_trap());
  t.bind([&] { out("got", c.receive()); }).setup();
  run();
  c.send(1);
  EXPECT_EQ(trace, (lines{dislikes, "false", "got 1"}));
}

TEST_F(traces_left, block_trap_ends_with_a_tasklet_that_never_started) {
  channel<int> c;
  tasklet t = tasklet::bound([] {});
  t.block_trap(true);
  t.kill();
  out(t.block_trap());
  t.bind([&] { out("got", c.receive()); }).setup();
  run();
  if (c.balance() < 0) c.send(1);
  EXPECT_EQ(trace, (lines{"false", "got 1"}));
}

TEST_F(traces_left, block_trap_of_another_is_met_by_it) {
  channel<int> c;
  tasklet t = spawn([&] { out(err([&] { c.receive(); })); });
  t.block_trap(true);
  run();
  EXPECT_EQ(trace, lines{dislikes});
}

TEST_F(traces_left, atomic_ends_with_its_tasklet) {
  tasklet t = spawn([] { current().set_atomic(true); });
  run();
  EXPECT_FALSE(t.atomic());
}

TEST_F(traces_left, error_handler_before_is_put_back) {
  using handler = stackless::error_handler;
  const auto writes = [](const char* text) {
    return handler([text](const std::exception_ptr&) { out(text); });
  };
  const auto fail = [] {
    spawn([] { throw 1; });
    run();
  };
  stackless::set_error_handler(writes("first"));
  handler before = stackless::set_error_handler(writes("second"));
  fail();
  stackless::set_error_handler(before);
  fail();
  stackless::set_error_handler(nullptr);
  EXPECT_THROW(fail(), int);
  EXPECT_EQ(trace, (lines{"second", "first"}));
}

TEST_F(traces_left, error_handler_may_take_itself_away) {
  stackless::set_error_handler([](const std::exception_ptr&) {
    stackless::set_error_handler(nullptr);
    out("handler");
  });
  for (int i = 0; i < 2; ++i) spawn([] { throw std::runtime_error("boom"); });
  out(err([] { run(); }));
  EXPECT_EQ(trace, (lines{"handler", "error: boom"}));
}

TEST_F(traces_left, callbacks_may_take_themselves_away) {
  channel<int> c;
  stackless::set_schedule_callback([](const tasklet&, const tasklet&) {
    stackless::set_schedule_callback(nullptr);
    out("switch");
  });
  stackless::set_channel_callback([](const stackless::channel_base&, const tasklet&, bool, bool) {
    stackless::set_channel_callback(nullptr);
    out("channel");
  });
  spawn([&] { c.receive(); });
  run();
  c.send(1);
  EXPECT_EQ(trace, (lines{"switch", "channel"}));
}

}  // namespace
