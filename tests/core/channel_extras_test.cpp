// Channels beyond the original: attempts that do not block, buffers, channels of nothing.

#include <memory>
#include <stdexcept>
#include <type_traits>

#include "tests/core/trace.hpp"

namespace {

using value = std::unique_ptr<int>;

value make(int n) {
  return std::make_unique<int>(n);
}

const std::string closed_text = "closed_error: Send/receive operation on a closed channel";
const std::string deadlock_text = "deadlock_error: Deadlock: the last runnable tasklet cannot be blocked";

class attempts : public semantics_case {};
class buffers : public semantics_case {};
class signals : public semantics_case {};

TEST_F(attempts, to_send_moves_only_when_it_succeeds) {
  channel<value> c;
  value v = make(1);
  out(c.try_send(std::move(v)), v != nullptr, c.balance());
  spawn([&] { out("got", *c.receive()); });
  run();
  const bool sent = c.try_send(std::move(v));
  out(sent, v != nullptr, c.balance());
  EXPECT_EQ(trace, (lines{"false true 0", "got 1", "true false 0"}));
}

TEST_F(attempts, to_send_beside_another_sender_fail) {
  channel<value> c;
  spawn([&] { c.send(make(1)); });
  run();
  value v = make(2);
  out(c.try_send(std::move(v)), v != nullptr, c.balance());
  out(*c.receive());
  run();
  EXPECT_EQ(trace, (lines{"false true 1", "1"}));
}

TEST_F(attempts, to_receive_take_what_is_there) {
  channel<value> c;
  out(c.try_receive().has_value(), c.balance());
  spawn([&] {
    c.send(make(1));
    out("sender");
  });
  run();
  out("got", **c.try_receive());
  out(c.try_receive().has_value(), c.balance());
  run();
  EXPECT_EQ(trace, (lines{"false 0", "got 1", "false 0", "sender"}));
}

TEST_F(attempts, to_receive_throw_what_is_sent_as_an_exception) {
  channel<int> c;
  spawn([&] { c.send_exception(std::runtime_error("sent")); });
  run();
  out(err([&] { c.try_receive(); }));
  run();
  EXPECT_EQ(trace, lines{"error: sent"});
}

TEST_F(attempts, follow_the_preference) {
  channel<int> c;
  c.preference(1);
  spawn([&] {
    c.send(1);
    out("sender");
  });
  run();
  out("got", *c.try_receive());
  spawn([&] { out("receiver", c.receive()); });
  run();
  out(c.try_send(2));
  run();
  EXPECT_EQ(trace, (lines{"sender", "got 1", "true", "receiver 2"}));
}

TEST_F(attempts, do_not_block_where_blocking_is_refused) {
  channel<int> c(1);
  c.close();
  current().block_trap(true);
  out(c.try_send(1), c.try_receive().has_value());
  current().block_trap(false);
  EXPECT_EQ(trace, lines{"false false"});
}

TEST_F(buffers, sender_does_not_block_until_it_is_full) {
  channel<value> c(2);
  c.send(make(1));
  c.send(make(2));
  out(c.balance(), runcount());
  out(err([&] { c.send(make(3)); }));
  value v = make(4);
  out(c.try_send(std::move(v)), v != nullptr);
  for (int i = 0; i < 2; ++i) out(*c.receive());
  out(err([&] { c.receive(); }));
  EXPECT_EQ(trace, (lines{"0 1", deadlock_text, "false true", "1", "2", deadlock_text}));
}

TEST_F(buffers, waiting_sender_goes_on_when_there_is_room) {
  channel<int> c(1);
  spawn([&] {
    for (int i = 1; i <= 3; ++i) {
      c.send(i);
      out("sent", i);
    }
  });
  run();
  out(c.balance());
  out("got", c.receive());
  out(c.balance());
  run();
  for (int i = 0; i < 2; ++i) out("got", c.receive());
  run();
  EXPECT_EQ(trace, (lines{"sent 1", "1", "got 1", "0", "sent 2", "got 2", "got 3", "sent 3"}));
}

TEST_F(buffers, order_is_kept_with_several_senders) {
  channel<int> c(2);
  for (int i = 0; i < 6; ++i) spawn([&c, i] { c.send(i); });
  run();
  out(c.balance());
  std::string order;
  for (int i = 0; i < 6; ++i) {
    order += std::to_string(c.receive());
    schedule();
  }
  out(order);
  EXPECT_EQ(trace, (lines{"4", "012345"}));
}

TEST_F(buffers, nobody_overtakes_an_exception_that_waits) {
  channel<int> c(2);
  c.send(1);
  spawn([&] { c.send_exception(std::runtime_error("sent")); });
  spawn([&] { c.send(2); });
  run();
  out(c.receive());
  out(err([&] { c.receive(); }));
  out(c.receive());
  run();
  EXPECT_EQ(trace, (lines{"1", "error: sent", "2"}));
}

TEST_F(buffers, receiver_that_waits_is_met_directly) {
  channel<int> c(2);
  spawn([&] { out("got", c.receive()); });
  run();
  out(c.balance());
  c.send(1);
  out("main", c.try_receive().has_value());
  EXPECT_EQ(trace, (lines{"-1", "got 1", "main false"}));
}

TEST_F(buffers, values_that_are_left_when_it_is_closed_can_be_received) {
  channel<int> c(3);
  for (int i = 0; i < 2; ++i) c.send(i);
  c.close();
  out(c.closing(), c.closed());
  out(err([&] { c.send(5); }));
  for (int i : c) out(i);
  out(c.closed());
  out(err([&] { c.receive(); }));
  EXPECT_EQ(trace, (lines{"true false", closed_text, "0", "1", "true", closed_text}));
}

TEST_F(buffers, senders_that_wait_when_it_is_closed_are_met) {
  channel<int> c(1);
  for (int i = 0; i < 3; ++i) spawn([&c, i] { c.send(i); });
  run();
  c.close();
  for (int i : c) out(i);
  run();
  out(c.closed(), c.balance());
  EXPECT_EQ(trace, (lines{"0", "1", "2", "true 0"}));
}

TEST_F(buffers, values_that_are_left_are_destroyed_with_the_channel) {
  auto shared = std::make_shared<int>(1);
  {
    channel<std::shared_ptr<int>> c(4);
    for (int i = 0; i < 3; ++i) c.send(shared);
    c.receive();
    EXPECT_EQ(shared.use_count(), 3);
  }
  EXPECT_EQ(shared.use_count(), 1);
}

TEST_F(buffers, killed_sender_takes_its_value_along) {
  channel<int> c(1);
  c.send(1);
  tasklet t = spawn([&] { c.send(2); });
  run();
  t.kill();
  out(c.balance());
  out(c.receive());
  out(c.try_receive().has_value());
  EXPECT_EQ(trace, (lines{"0", "1", "false"}));
}

TEST_F(buffers, of_no_capacity_are_none) {
  channel<int> c(0);
  out(err([&] { c.send(1); }));
  spawn([&] { c.send(2); });
  out(c.receive());
  run();
  EXPECT_EQ(trace, (lines{deadlock_text, "2"}));
}

TEST_F(buffers, producer_and_consumer) {
  channel<value> c(3);
  spawn([&] {
    for (int i = 0; i < 100; ++i) c.send(make(i));
    c.close();
  });
  int expected = 0;
  for (const value& v : c) EXPECT_EQ(*v, expected++);
  EXPECT_EQ(expected, 100);
}

TEST_F(signals, hand_over_the_turn) {
  channel<void> c;
  static_assert(std::is_void_v<decltype(c.receive())> && std::is_same_v<decltype(c.try_receive()), bool>);
  spawn([&] {
    c.receive();
    out("woken");
  });
  run();
  out(c.balance(), c.queue().has_value());
  c.send();
  out("main", c.balance());
  EXPECT_EQ(trace, (lines{"-1 true", "woken", "main 0"}));
}

TEST_F(signals, can_be_tried) {
  channel<void> c;
  out(c.try_send(), c.try_receive());
  spawn([&] { c.send(); });
  run();
  out(c.try_send(), c.balance());
  out(c.try_receive());
  run();
  EXPECT_EQ(trace, (lines{"false false", "false 1", "true"}));
}

TEST_F(signals, can_be_kept_in_a_buffer) {
  channel<void> c(2);
  c.send();
  c.send();
  out(err([&] { c.send(); }));
  c.receive();
  c.receive();
  out(c.try_receive());
  EXPECT_EQ(trace, (lines{deadlock_text, "false"}));
}

TEST_F(signals, have_what_other_channels_have) {
  channel<void> c;
  c.preference(1);
  c.schedule_all(true);
  out(c.preference(), c.schedule_all());
  spawn([&] { out(err([&] { c.receive(); })); });
  spawn([&] { out(err([&] { c.receive(); })); });
  run();
  c.send_exception(std::runtime_error("one"));
  c.send_throw(std::make_exception_ptr(std::runtime_error("two")));
  c.close();
  out(c.closing(), c.closed());
  out(err([&] { c.send(); }));
  c.open();
  out(c.closing());
  EXPECT_EQ(trace, (lines{"1 true", "error: one", "error: two", "true true", closed_text, "false"}));
}

}  // namespace
