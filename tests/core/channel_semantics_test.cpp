// Channels as Stackless has them. Each test carries the number of the behaviour it pins.

#include "tests/core/trace.hpp"

namespace {

class channel_semantics : public semantics_case {};

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

TEST_F(channel_semantics, B01_receiver_waiting_preference_receiver_send_switches_at_once) {
  receiver_waits(-1);
  EXPECT_EQ(trace, (lines{"got 1", "bystander", "sender"}));
}

TEST_F(channel_semantics, B02_sender_waiting_preference_receiver_receive_continues) {
  sender_waits(-1);
  EXPECT_EQ(trace, (lines{"got 1", "receiver continues", "bystander", "sender"}));
}

TEST_F(channel_semantics, B03_receiver_waiting_preference_sender_send_continues) {
  receiver_waits(1);
  EXPECT_EQ(trace, (lines{"sender", "bystander", "got 1"}));
}

TEST_F(channel_semantics, B04_sender_waiting_preference_sender_receive_switches_at_once) {
  sender_waits(1);
  EXPECT_EQ(trace, (lines{"sender", "bystander", "got 1", "receiver continues"}));
}

TEST_F(channel_semantics, B05_preference_0_nobody_switches) {
  receiver_waits(0);
  sender_waits(0);
  EXPECT_EQ(trace, (lines{"sender", "bystander", "got 1",  // the receiver waited
                          "got 1", "receiver continues", "bystander", "sender"}));
}

TEST_F(channel_semantics, B07_balance_and_fifo_order_of_the_queue) {
  channel<int> c;
  c.preference(1);
  for (int i = 1; i <= 3; ++i) spawn([&c, i] { c.send(i); });
  run();
  out(c.balance());
  for (int i = 0; i < 3; ++i) out(c.receive());
  out(c.balance());
  for (char n : {'x', 'y', 'z'}) spawn([&c, n] { out(n, c.receive()); });
  run();
  out(c.balance());
  for (int i = 1; i <= 3; ++i) c.send(i);
  run();
  EXPECT_EQ(trace, (lines{"3", "1", "2", "3", "0", "-3", "x 1", "y 2", "z 3"}));
}

TEST_F(channel_semantics, B07_preference_is_one_of_three) {
  channel<int> c;
  out(c.preference());
  for (int p : {-300, 0, 300}) {
    c.preference(p);
    out(c.preference());
  }
  EXPECT_EQ(trace, (lines{"-1", "-1", "0", "1"}));
}

TEST_F(channel_semantics, B15_main_may_block_while_others_can_run) {
  channel<char> c;
  spawn_out("first");
  spawn([&] {
    c.send('v');
    out("sender end");
  });
  out(c.receive());
  out("main");
  run();
  EXPECT_EQ(trace, (lines{"first", "v", "main", "sender end"}));
}

TEST_F(channel_semantics, B16_deadlock_main_alone) {
  channel<int> c;
  out(err([&] { c.receive(); }));
  out(err([&] { c.send(1); }));
  out(c.balance());
  EXPECT_EQ(trace, (lines{"deadlock_error: Deadlock: the last runnable tasklet cannot be blocked",
                          "deadlock_error: Deadlock: the last runnable tasklet cannot be blocked", "0"}));
}

TEST_F(channel_semantics, B17_deadlock_last_tasklet_blocks_while_main_is_blocked) {
  channel<int> for_main, for_t;
  spawn([&] {
    out("t:", err([&] { for_t.receive(); }));
    out("t:", err([&] { for_t.send(1); }));
    out("main is", st(main_tasklet()));
  });
  out("main:", err([&] { for_main.receive(); }));
  out(for_main.balance(), for_t.balance());
  EXPECT_EQ(
      trace,
      (lines{"t: deadlock_error: Deadlock: the last runnable tasklet cannot be blocked",
             "t: deadlock_error: Deadlock: the last runnable tasklet cannot be blocked", "main is blocked",
             "main: deadlock_error: the main tasklet is receiving without a sender available", "0 0"}));
}

TEST_F(channel_semantics, B18_deadlock_last_tasklet_ends_while_main_is_blocked) {
  channel<int> c;
  spawn_out("t");
  out(err([&] { c.receive(); }));
  spawn_out("t");
  out(err([&] { c.send(1); }));
  out(c.balance());
  EXPECT_EQ(trace,
            (lines{"t", "deadlock_error: the main tasklet is receiving without a sender available", "t",
                   "deadlock_error: the main tasklet is sending without a receiver available", "0"}));
}

TEST_F(channel_semantics, B18_deadlock_last_tasklet_is_removed_while_main_is_blocked) {
  channel<int> c;
  tasklet t = spawn([] {
    schedule_remove();
    out("t");
  });
  out(err([&] { c.receive(); }));
  out(st(t), c.balance());
  t.run();
  EXPECT_EQ(trace, (lines{"deadlock_error: the main tasklet is receiving without a sender available",
                          "paused 0", "t"}));
}

TEST_F(channel_semantics, B19_run_with_only_blocked_tasklets_left_returns) {
  channel<int> c;
  spawn([&] { out("got", c.receive()); });
  spawn([&] { out("got", c.receive()); });
  run();
  run();
  out(c.balance());
  c.send(1);
  c.send(2);
  EXPECT_EQ(trace, (lines{"-2", "got 1", "got 2"}));
}

TEST_F(channel_semantics, B20_killing_a_blocked_tasklet_takes_it_out_of_the_queue) {
  channel<int> c;
  tasklet a = spawn([&] { out('a', c.receive()); });
  spawn([&] { out('b', c.receive()); });
  run();
  a.kill();
  out(c.balance());
  c.send(1);
  out(c.balance());
  EXPECT_EQ(trace, (lines{"-1", "b 1", "0"}));
}

TEST_F(channel_semantics, B20_whoever_of_the_queue_is_killed_the_others_keep_their_order) {
  for (int victim = 0; victim < 3; ++victim) {
    channel<int> c;
    c.preference(1);
    std::vector<tasklet> senders;
    for (int i = 0; i < 3; ++i) senders.push_back(spawn([&c, i] { c.send(i); }));
    run();
    senders[static_cast<unsigned>(victim)].kill();
    const int left = c.balance();
    const int first = c.receive();
    out(left, first, c.receive());
    run();
  }
  EXPECT_EQ(trace, (lines{"2 1 2", "2 0 2", "2 0 1"}));
}

}  // namespace
