// E and Q: callbacks, traps, and a quirk that is not copied. Each test carries the number of the behaviour it
// pins.

#include <algorithm>
#include <functional>
#include <memory>
#include <stdexcept>

#include "tests/core/trace.hpp"

namespace {

using stackless::channel_base;
using stackless::set_channel_callback;
using stackless::set_schedule_callback;
using stackless::switch_trap;

class semantics_callbacks : public semantics_case {
 protected:
  void TearDown() override {
    EXPECT_FALSE(set_schedule_callback(nullptr));
    EXPECT_FALSE(set_channel_callback(nullptr));
    semantics_case::TearDown();
  }
};

const std::string trapped = "trap_error: switch_trap";

std::string name_of(const tasklet& t) {
  return t.is_main() ? "main" : std::string(t.name());
}

/// The kind and the first words of what `f` throws.
template <class F>
std::string refusal(F f) {
  return err(f).substr(0, trapped.size());
}

TEST_F(semantics_callbacks, E01_schedule_callback) {
  tasklet a = spawn([] { schedule(); }), b = spawn([] { schedule(); });
  a.name("a");
  b.name("b");
  set_schedule_callback([](const tasklet& from, const tasklet& to) { out(name_of(from), name_of(to)); });
  run();
  set_schedule_callback(nullptr);
  EXPECT_EQ(trace, (lines{"main a", "a b", "b a", "a b", "b main"}));
}

TEST_F(semantics_callbacks, E01_schedule_callback_is_not_told_of_what_does_not_switch) {
  channel<int> c;
  c.preference(0);
  spawn([&] { c.receive(); });
  run();
  tasklet p = tasklet::bound([] {});
  set_schedule_callback([](const tasklet&, const tasklet&) { out("switch"); });
  schedule();
  run();
  c.send(1);
  p.insert().remove();
  p.kill();
  current().run();
  set_schedule_callback(nullptr);
  EXPECT_EQ(trace, lines{});
  run();
}

TEST_F(semantics_callbacks, E01_schedule_callback_is_told_of_every_way_to_switch) {
  channel<int> c;
  tasklet m = current();
  tasklet t = tasklet::bound([&] {
    c.receive();
    c.receive();
    schedule_remove();
    m.insert();
    schedule_remove();
  });
  t.name("t");
  set_schedule_callback([](const tasklet& from, const tasklet& to) { out(name_of(from), name_of(to)); });
  t.run();
  c.send(1);
  t.raise(TaskletExit{});
  EXPECT_EQ(trace, (lines{"main t", "t main", "main t", "t main", "main t", "t main"}));
  trace.clear();
  t.bind([] { schedule_remove(); }).arm();
  t.switch_to();
  t.kill();
  set_schedule_callback(nullptr);
  EXPECT_EQ(trace, (lines{"main t", "t main", "main t", "t main"}));
}

TEST_F(semantics_callbacks, E01_setting_a_schedule_callback_returns_the_one_before) {
  out(bool(stackless::get_schedule_callback()));
  out(bool(set_schedule_callback([](const tasklet&, const tasklet&) {})));
  out(bool(stackless::get_schedule_callback()));
  out(bool(set_schedule_callback(nullptr)));
  EXPECT_EQ(trace, (lines{"false", "false", "true", "true"}));
}

TEST_F(semantics_callbacks, E01_a_schedule_callback_must_not_give_way_or_block) {
  channel<int> c;
  tasklet t = spawn_out("t");
  lines refused;
  set_schedule_callback([&](const tasklet&, const tasklet&) {
    refused = {refusal([] { schedule(); }), refusal([] { schedule_remove(); }), refusal([] { run(); })};
  });
  run();
  set_schedule_callback(nullptr);
  EXPECT_EQ(trace, lines{"t"});
  EXPECT_EQ(refused.size(), 3u);
}

TEST_F(semantics_callbacks, E01_a_schedule_callback_may_start_tasklets) {
  channel<int> c;
  spawn([&] { out("got", c.receive()); });
  int starts = 0;
  set_schedule_callback([&](const tasklet&, const tasklet&) {
    if (starts < 4) spawn_out("started " + std::to_string(starts++));
  });
  run();
  c.send(1);
  run();
  set_schedule_callback(nullptr);
  EXPECT_EQ(std::ranges::count(trace, "got 1"), 1);
  EXPECT_EQ(trace.size(), 5u);
}

TEST_F(semantics_callbacks, E01_a_schedule_callback_may_drop_the_last_handle_of_a_paused_tasklet) {
  channel<int> c;
  std::vector<tasklet> held{paused_with_cleanup()};
  spawn([&] { out("got", c.receive()); });
  set_schedule_callback([&](const tasklet& from, const tasklet&) {
    if (!from.is_main()) held.clear();
  });
  run();
  set_schedule_callback(nullptr);
  out(c.balance());
  c.send(1);
  run();
  EXPECT_EQ(std::ranges::count(trace, "cleanup"), 1);
  EXPECT_EQ(std::ranges::count(trace, "got 1"), 1);
}

TEST_F(semantics_callbacks, E02_channel_callback) {
  channel<int> c;
  set_channel_callback([&](const channel_base& which, const tasklet& who, bool sending, bool will_block) {
    out(sending ? "send" : "recv", will_block ? "blocks" : "goes", &which == &c, who == current(),
        c.balance());
  });
  spawn([&] { c.receive(); });
  run();
  c.send(1);
  spawn([&] { c.send(2); });
  run();
  c.receive();
  run();
  set_channel_callback(nullptr);
  EXPECT_EQ(trace, (lines{"recv blocks true true 0", "send goes true true -1", "send blocks true true 0",
                          "recv goes true true 1"}));
}

TEST_F(semantics_callbacks, E02_channel_callback_is_told_of_exceptions_and_of_the_buffer) {
  channel<int> plain, buffered(1);
  set_channel_callback([](const channel_base&, const tasklet&, bool sending, bool will_block) {
    out(sending ? "send" : "recv", will_block ? "blocks" : "goes");
  });
  spawn([&] { plain.send_exception(std::runtime_error("sent")); });
  run();
  out(err([&] { plain.receive(); }));
  buffered.send(1);
  buffered.receive();
  out(buffered.try_receive().has_value());
  run();
  set_channel_callback(nullptr);
  EXPECT_EQ(trace, (lines{"send blocks", "recv goes", "error: sent", "send goes", "recv goes", "false"}));
}

TEST_F(semantics_callbacks, E02_setting_a_channel_callback_returns_the_one_before) {
  out(bool(stackless::get_channel_callback()));
  out(bool(set_channel_callback([](const channel_base&, const tasklet&, bool, bool) { out("called"); })));
  const stackless::channel_callback set = stackless::get_channel_callback();
  out(bool(set));
  set(channel<int>(), current(), true, false);
  out(bool(set_channel_callback(nullptr)));
  out(bool(stackless::get_channel_callback()));
  EXPECT_EQ(trace, (lines{"false", "false", "true", "called", "true", "false"}));
}

TEST_F(semantics_callbacks, E02_a_channel_callback_must_use_no_channel) {
  channel<int> c, other;
  other.preference(1);
  spawn([&] { other.receive(); });
  spawn([&] { c.receive(); });
  run();
  set_channel_callback(
      [&](const channel_base&, const tasklet&, bool, bool) { out(refusal([&] { other.send(1); })); });
  c.send(1);
  set_channel_callback(nullptr);
  out(other.balance());
  EXPECT_EQ(trace, (lines{"trap_error: Recursive c", "-1"}));
  other.send(1);
  run();
}

TEST_F(semantics_callbacks, E03_switch_trap) {
  channel<int> c;
  spawn([&] { c.receive(); });
  run();
  tasklet s = spawn_out("s"), p = paused_with_cleanup();
  out(switch_trap(1));
  const std::pair<const char*, std::function<void()>> operations[] = {
      {"schedule", [] { schedule(); }},
      {"schedule_remove", [] { schedule_remove(); }},
      {"run", [] { run(); }},
      {"tasklet::run", [&] { s.run(); }},
      {"switch_to", [&] { s.switch_to(); }},
      {"kill", [&] { p.kill(); }},
      {"throw", [&] { p.raise(std::runtime_error("e")); }},
      {"send", [&] { c.send(1); }},
      {"send_exception", [&] { c.send_exception(std::runtime_error("e")); }},
      {"try_send", [&] { c.try_send(1); }},
      {"join", [&] { s.join(); }},
      {"unbind", [&] { p.unbind(); }},
  };
  for (const auto& [name, operation] : operations) {
    EXPECT_EQ(refusal(operation), trapped) << name;
    EXPECT_EQ(runcount(), 2u) << name;
    EXPECT_EQ(c.balance(), -1) << name;
    EXPECT_STREQ(st(s), "scheduled") << name;
    EXPECT_STREQ(st(p), "paused") << name;
  }
  out(switch_trap(-1));
  out(switch_trap(0));
  c.send(1);
  p.kill();
  run();
  EXPECT_EQ(trace, (lines{"0", "1", "0", "s", "cleanup"}));
}

TEST_F(semantics_callbacks, E03_switch_trap_lets_pass_what_does_not_switch) {
  channel<int> c;
  c.preference(0);
  spawn([&] { out("got", c.receive()); });
  run();
  switch_trap(2);
  c.send(1);
  tasklet p = tasklet::bound([] { out("p"); });
  p.insert().remove();
  p.kill();
  out(switch_trap(-1));
  EXPECT_EQ(refusal([] { schedule(); }), trapped);
  out(switch_trap(-1));
  run();
  EXPECT_EQ(trace, (lines{"2", "1", "got 1"}));
}

TEST_F(semantics_callbacks, E03_a_refused_schedule_leaves_the_tempval) {
  spawn_out("other");
  current().tempval(7);
  switch_trap(1);
  EXPECT_EQ(refusal([] { schedule(8); }), trapped);
  EXPECT_EQ(refusal([] { schedule_remove(8); }), trapped);
  switch_trap(-1);
  out(current().take_tempval<int>());
  run();
  EXPECT_EQ(trace, (lines{"7", "other"}));
}

/// What is written to stderr while a tasklet runs that writes "t", and the schedule callback does as it likes.
std::string said_about(stackless::schedule_callback callback) {
  set_schedule_callback(std::move(callback));
  spawn_out("t");
  testing::internal::CaptureStderr();
  out(err([] { run(); }));
  set_schedule_callback(nullptr);
  return testing::internal::GetCapturedStderr();
}

TEST_F(semantics_callbacks, E04_error_inside_a_schedule_callback_is_reported_and_ignored) {
  const std::string said =
      said_about([](const tasklet&, const tasklet&) { throw std::runtime_error("of the callback"); });
  EXPECT_EQ(trace, (lines{"t", "returned"}));
  EXPECT_NE(said.find("of the callback"), std::string::npos) << said;
}

TEST_F(semantics_callbacks, E04_what_is_no_std_exception_is_reported_and_ignored_too) {
  const std::string said = said_about([](const tasklet&, const tasklet&) { throw 1; });
  EXPECT_EQ(trace, (lines{"t", "returned"}));
  EXPECT_NE(said.find("an exception in the schedule callback was ignored"), std::string::npos) << said;
}

TEST_F(semantics_callbacks, E05_error_inside_a_channel_callback_comes_out_of_the_operation) {
  channel<std::unique_ptr<int>> c;
  spawn([&] { out("got", *c.receive()); });
  run();
  set_channel_callback(
      [](const channel_base&, const tasklet&, bool, bool) { throw std::runtime_error("of the callback"); });
  auto value = std::make_unique<int>(1);
  out(err([&] { c.try_send(std::move(value)); }));
  out(err([&] { c.send(std::make_unique<int>(2)); }));
  out(err([&] { c.send_exception(std::runtime_error("sent")); }));
  out(value != nullptr, c.balance(), runcount());
  set_channel_callback(nullptr);
  c.send(std::move(value));
  const std::string failed = "error: of the callback";
  EXPECT_EQ(trace, (lines{failed, failed, failed, "true -1 1", "got 1"}));
}

TEST_F(semantics_callbacks, E05_error_inside_a_channel_callback_leaves_the_sender_waiting) {
  channel<int> c;
  spawn([&] { c.send(1); });
  run();
  set_channel_callback([](const channel_base&, const tasklet&, bool, bool) { throw 5; });
  EXPECT_THROW(c.receive(), int);
  EXPECT_THROW(c.try_receive(), int);
  set_channel_callback(nullptr);
  out(c.balance());
  out(c.receive());
  run();
  EXPECT_EQ(trace, (lines{"1", "1"}));
}

TEST_F(semantics_callbacks, Q01_an_exception_that_waits_to_be_received_does_not_come_out_of_run) {
  channel<int> c;
  spawn([&] { c.send_exception(std::out_of_range("k")); });
  out(err([] { run(); }));
  out(c.balance());
  out(err([&] { c.receive(); }));
  run();
  out(c.balance());
  EXPECT_EQ(trace, (lines{"returned", "1", "error: k", "0"}));
}

}  // namespace
