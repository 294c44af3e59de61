// B01 to B13: channels as Stackless has them. Each test carries the number of the behaviour it pins.

#include <stdexcept>

#include "tests/core/trace.hpp"

namespace {

class semantics_channels : public semantics_case {};

/// Two arguments, as exceptions of the reference have.
struct pair_error {
  int first, second;
};

/// A receiver waits; then a sender and a bystander are scheduled.
void receiver_waits(int preference) {
  channel<int> c;
  c.preference(preference);
  spawn([&] { out("got", c.receive()); });
  run();
  spawn([&] {
    c.send(1);
    out("sender");
  });
  spawn_out("bystander");
  run();
}

/// A sender waits; then a receiver and a bystander are scheduled.
void sender_waits(int preference) {
  channel<int> c;
  c.preference(preference);
  spawn([&] {
    c.send(1);
    out("sender");
  });
  run();
  spawn([&] {
    out("got", c.receive());
    out("receiver continues");
  });
  spawn_out("bystander");
  run();
}

TEST_F(semantics_channels, B01_receiver_waiting_preference_receiver_send_switches_at_once) {
  receiver_waits(-1);
  EXPECT_EQ(trace, (lines{"got 1", "bystander", "sender"}));
}

TEST_F(semantics_channels, B02_sender_waiting_preference_receiver_receive_continues) {
  sender_waits(-1);
  EXPECT_EQ(trace, (lines{"got 1", "receiver continues", "bystander", "sender"}));
}

TEST_F(semantics_channels, B03_receiver_waiting_preference_sender_send_continues) {
  receiver_waits(1);
  EXPECT_EQ(trace, (lines{"sender", "bystander", "got 1"}));
}

TEST_F(semantics_channels, B04_sender_waiting_preference_sender_receive_switches_at_once) {
  sender_waits(1);
  EXPECT_EQ(trace, (lines{"sender", "bystander", "got 1", "receiver continues"}));
}

TEST_F(semantics_channels, B05_preference_0_nobody_switches) {
  receiver_waits(0);
  sender_waits(0);
  EXPECT_EQ(trace, (lines{"sender", "bystander", "got 1",  // the receiver waited
                          "got 1", "receiver continues", "bystander", "sender"}));
}

TEST_F(semantics_channels, B06_schedule_all_always_gives_way) {
  channel<int> c;
  c.schedule_all(true);
  spawn([&] { out("got", c.receive()); });
  run();
  spawn([&] {
    c.send(1);
    out("sender");
  });
  spawn_out("bystander");
  run();
  EXPECT_EQ(trace, (lines{"bystander", "got 1", "sender"}));
}

TEST_F(semantics_channels, B06_schedule_all_overrides_every_preference_in_both_directions) {
  for (int preference : {-1, 0, 1}) {
    channel<int> c;
    c.preference(preference);
    c.schedule_all(true);
    spawn([&] {
      c.send(1);
      out("sender");
    });
    run();
    spawn([&] { out("got", c.receive()); });
    spawn_out("bystander");
    run();
    EXPECT_EQ(trace, (lines{"bystander", "sender", "got 1"})) << preference;
    trace.clear();
  }
}

TEST_F(semantics_channels, B07_balance_and_fifo_order_of_the_queue) {
  channel<int> c;
  c.preference(1);
  tasklet first = spawn([&] { c.send(1); });
  for (int i = 2; i <= 3; ++i) spawn([&c, i] { c.send(i); });
  run();
  out(c.balance(), c.queue() == first);
  for (int i = 0; i < 3; ++i) out(c.receive());
  out(c.balance(), c.queue().has_value());
  for (char n : {'x', 'y', 'z'}) spawn([&c, n] { out(n, c.receive()); });
  run();
  out(c.balance());
  for (int i = 1; i <= 3; ++i) c.send(i);
  run();
  EXPECT_EQ(trace, (lines{"3 true", "1", "2", "3", "0 false", "-3", "x 1", "y 2", "z 3"}));
}

TEST_F(semantics_channels, B07_preference_is_one_of_three) {
  channel<int> c;
  out(c.preference());
  for (int p : {-300, 0, 300}) {
    c.preference(p);
    out(c.preference());
  }
  EXPECT_EQ(trace, (lines{"-1", "-1", "0", "1"}));
}

TEST_F(semantics_channels, B08_send_exception) {
  channel<int> c;
  spawn([&] {
    try {
      c.receive();
    } catch (const pair_error& e) {
      out("caught", e.first, e.second);
    }
  });
  run();
  c.send_exception(pair_error{1, 2});
  out("main");
  EXPECT_EQ(trace, (lines{"caught 1 2", "main"}));
}

TEST_F(semantics_channels, B08_send_exception_follows_the_preference) {
  channel<int> c;
  c.preference(1);
  spawn([&] { out(err([&] { c.receive(); })); });
  run();
  c.send_exception(std::runtime_error("sent"));
  out("main", c.balance());
  run();
  EXPECT_EQ(trace, (lines{"main 0", "error: sent"}));
}

TEST_F(semantics_channels, B09_send_exception_waits_in_the_queue_like_a_value) {
  channel<int> c;
  spawn([&] { c.send(1); });
  spawn([&] {
    c.send_exception(std::runtime_error("sent"));
    out("sender goes on");
  });
  spawn([&] { c.send(2); });
  run();
  out(c.balance());
  out(c.receive());
  out(err([&] { c.receive(); }));
  out(c.balance());
  out(c.receive());
  run();
  EXPECT_EQ(trace, (lines{"3", "1", "error: sent", "1", "2", "sender goes on"}));
}

TEST_F(semantics_channels, B09_a_sender_of_an_exception_that_is_killed_takes_it_along) {
  channel<int> c;
  tasklet t = spawn([&] { c.send_exception(std::runtime_error("sent")); });
  run();
  t.kill();
  spawn([&] { c.send(1); });
  out(c.balance());
  out(c.receive());
  run();
  EXPECT_EQ(trace, (lines{"0", "1"}));
}

TEST_F(semantics_channels, B10_send_throw_keeps_the_identical_exception_object) {
  channel<int> c;
  for (bool receiver_first : {true, false}) {
    const auto e = std::make_exception_ptr(pair_error{1, 2});
    const pair_error* sent = nullptr;
    try {
      std::rethrow_exception(e);
    } catch (const pair_error& object) {
      sent = &object;
    }
    const auto receive = [&] {
      try {
        c.receive();
      } catch (const pair_error& object) {
        out(&object == sent, std::current_exception() == e);
      }
    };
    if (receiver_first) spawn(receive);
    spawn([&] { c.send_throw(e); });
    if (!receiver_first) spawn(receive);
    run();
  }
  EXPECT_EQ(trace, (lines{"true true", "true true"}));
}

TEST_F(semantics_channels, B11_close_and_open) {
  const std::string closed = "closed_error: Send/receive operation on a closed channel";
  channel<int> c;
  spawn([&] { c.send(1); });
  run();
  c.close();
  out(c.closing(), c.closed());
  out(c.receive());
  run();
  out(c.closing(), c.closed());
  out(err([&] { c.receive(); }));
  out(err([&] { c.send(1); }));
  out(err([&] { c.send_exception(std::runtime_error("sent")); }));
  c.open();
  out(c.closing(), c.closed(), c.balance());
  EXPECT_EQ(trace, (lines{"true false", "1", "true true", closed, closed, closed, "false false 0"}));
}

TEST_F(semantics_channels, B11_a_receiver_that_waits_on_a_channel_that_is_closed_can_be_met) {
  channel<int> c;
  spawn([&] { out("got", c.receive()); });
  run();
  c.close();
  out(c.closed());
  c.send(1);
  out(c.closed());
  EXPECT_EQ(trace, (lines{"false", "got 1", "true"}));
}

TEST_F(semantics_channels, B12_iteration_ends_when_the_channel_is_closing_and_no_sender_waits) {
  channel<int> c;
  c.preference(1);
  spawn([&] {
    for (int i = 0; i < 3; ++i) c.send(i);
    c.close();
  });
  for (int value : c) out(value);
  out("end", c.closed(), c.begin() == c.end());
  EXPECT_EQ(trace, (lines{"0", "1", "2", "end true true"}));
}

TEST_F(semantics_channels, B12_iteration_takes_what_waits_when_the_channel_is_closed) {
  channel<int> c;
  for (int i = 0; i < 3; ++i) spawn([&c, i] { c.send(i); });
  run();
  c.close();
  for (int value : c) out(value);
  run();
  EXPECT_EQ(trace, (lines{"0", "1", "2"}));
}

// The original sends StopIteration to a receiver that waits; here closing is what ends an iteration.
TEST_F(semantics_channels, B12_iteration_that_waits_ends_when_the_channel_is_closed) {
  channel<int> c;
  spawn([&] {
    for (int i = 0; i < 3; ++i) c.send(i);
    c.close();
  });
  out(err([&] {
    for (int value : c) out(value);
  }));
  run();
  out(c.closed(), c.balance());
  EXPECT_EQ(trace, (lines{"0", "1", "2", "returned", "true 0"}));
}

TEST_F(semantics_channels, B12_iteration_throws_what_is_sent_as_an_exception) {
  channel<int> c;
  spawn([&] {
    c.send(1);
    c.send_exception(std::runtime_error("sent"));
  });
  out(err([&] {
    for (int value : c) out(value);
  }));
  run();
  EXPECT_EQ(trace, (lines{"1", "error: sent"}));
}

/// Makes its elements as it goes: the generator of the reference.
struct squares {
  struct iterator {
    int i;
    int operator*() const { return i * i; }
    iterator& operator++() {
      ++i;
      return *this;
    }
    bool operator==(const iterator&) const = default;
  };
  iterator begin() const { return {0}; }
  iterator end() const { return {3}; }
};

TEST_F(semantics_channels, B13_send_sequence) {
  channel<int> c;
  spawn([&] { out("sent", c.send_sequence(squares())); });
  for (int i = 0; i < 3; ++i) out(c.receive());
  run();
  EXPECT_EQ(trace, (lines{"0", "1", "4", "sent 3"}));
}

TEST_F(semantics_channels, B13_send_sequence_leaves_the_elements_of_an_lvalue) {
  channel<std::string> c;
  const std::vector<std::string> words{"one", "two"};
  spawn([&] { out("sent", c.send_sequence(words)); });
  for (int i = 0; i < 2; ++i) out(c.receive());
  run();
  out(words[0], words[1]);
  EXPECT_EQ(trace, (lines{"one", "two", "sent 2", "one two"}));
}

}  // namespace
