// Waiting on several channels at once.

#include <stackless/select.hpp>

#include <memory>
#include <vector>

#include "tests/core/trace.hpp"

namespace {

using stackless::on_receive;
using stackless::on_send;
using stackless::otherwise;
using stackless::select;

class selects : public semantics_case {
 protected:
  channel<int> a, b;
};

TEST_F(selects, a_case_that_need_not_wait_goes_on) {
  spawn([&] { b.send(7); });
  schedule();
  EXPECT_EQ(select(on_receive(a, [&](int n) { out("a", n); }), on_receive(b, [&](int n) { out("b", n); })), 1u);
  run();
  EXPECT_EQ(trace, lines{"b 7"});
  EXPECT_EQ(a.balance(), 0);
  EXPECT_EQ(b.balance(), 0);
}

TEST_F(selects, waits_until_one_is_met_and_leaves_the_other_queues) {
  spawn([&] {
    const auto chosen = select(on_receive(a, [&](int n) { out("a", n); }), on_receive(b, [&](int n) { out("b", n); }));
    out("chosen", chosen);
  });
  run();
  EXPECT_EQ(a.balance(), -1);
  EXPECT_EQ(b.balance(), -1);
  b.send(3);
  EXPECT_EQ(a.balance(), 0);
  EXPECT_EQ(b.balance(), 0);
  EXPECT_EQ(trace, (lines{"b 3", "chosen 1"}));
}

TEST_F(selects, one_that_is_met_counts_no_longer_before_it_has_run) {
  spawn([&] { select(on_receive(a, [&](int n) { out("a", n); }), on_receive(b, [&](int n) { out("b", n); })); });
  run();
  b.preference(0);
  b.send(3);
  EXPECT_EQ(a.balance(), 0);
  EXPECT_FALSE(a.try_send(1));
  EXPECT_EQ(trace, lines{});
  run();
  EXPECT_EQ(trace, lines{"b 3"});
}

TEST_F(selects, sends_as_well) {
  spawn([&] {
    const auto chosen = select(on_receive(a, [&](int n) { out("a", n); }), on_send(b, 5, [&] { out("sent"); }));
    out("chosen", chosen);
  });
  run();
  EXPECT_EQ(b.balance(), 1);
  EXPECT_EQ(b.receive(), 5);
  EXPECT_EQ(a.balance(), 0);
  run();
  EXPECT_EQ(trace, (lines{"sent", "chosen 1"}));
}

TEST_F(selects, two_of_them_meet) {
  spawn([&] { select(on_receive(a, [&](int n) { out("first a", n); }), on_receive(b, [&](int n) { out("first b", n); })); });
  run();
  select(on_send(b, 9, [&] { out("second sent"); }));
  run();
  EXPECT_EQ(trace, (lines{"first b 9", "second sent"}));
}

TEST_F(selects, otherwise_goes_on_if_all_would_wait) {
  EXPECT_EQ(select(on_receive(a, [](int) {}), otherwise([&] { out("none"); })), 1u);
  EXPECT_EQ(trace, lines{"none"});
  EXPECT_EQ(a.balance(), 0);
  spawn([&] { a.send(1); });
  schedule();
  EXPECT_EQ(select(on_receive(a, [&](int n) { out(n); }), otherwise([&] { out("none"); })), 0u);
  run();
  EXPECT_EQ(trace, (lines{"none", "1"}));
}

TEST_F(selects, none_of_those_that_are_ready_starves) {
  channel<int> full_a(100), full_b(100);
  for (int i = 0; i != 100; ++i) {
    full_a.send(0);
    full_b.send(0);
  }
  int from_a = 0, from_b = 0;
  for (int i = 0; i != 100; ++i) select(on_receive(full_a, [&](int) { ++from_a; }), on_receive(full_b, [&](int) { ++from_b; }));
  EXPECT_EQ(from_a, 50);
  EXPECT_EQ(from_b, 50);
}

TEST_F(selects, killing_who_waits_takes_it_out_of_all_queues) {
  tasklet t = spawn([&] { select(on_receive(a, [](int) {}), on_send(b, 1, [] {})); });
  run();
  EXPECT_TRUE(t.blocked());
  t.kill();
  EXPECT_FALSE(t.alive());
  EXPECT_EQ(a.balance(), 0);
  EXPECT_EQ(b.balance(), 0);
}

TEST_F(selects, an_exception_of_a_sender_is_thrown) {
  spawn([&] {
    try {
      select(on_receive(a, [](int) {}), on_receive(b, [](int) {}));
    } catch (const std::runtime_error& e) {
      out(e.what());
    }
  });
  run();
  b.send_exception(std::runtime_error("sent"));
  run();
  EXPECT_EQ(trace, lines{"sent"});
  EXPECT_EQ(a.balance(), 0);
}

TEST_F(selects, closed_channels_are_not_met) {
  a.close();
  EXPECT_THROW(select(on_receive(a, [](int) {})), stackless::closed_error);
  spawn([&] { select(on_receive(a, [](int) {}), on_receive(b, [&](int n) { out(n); })); });
  run();
  b.send(2);
  run();
  EXPECT_EQ(trace, lines{"2"});
}

TEST_F(selects, the_last_that_could_run_is_refused) {
  EXPECT_THROW(select(on_receive(a, [](int) {}), on_send(b, 1, [] {})), stackless::deadlock_error);
  EXPECT_EQ(a.balance(), 0);
  EXPECT_EQ(b.balance(), 0);
}

TEST_F(selects, meeting_itself_is_refused_and_nothing_is_sent) {
  const auto both = [&] { select(on_send(a, 1, [] {}), on_receive(a, [](int) {})); };
  EXPECT_THROW(both(), stackless::error);
  EXPECT_EQ(a.balance(), 0);
}

TEST_F(selects, a_channel_that_is_destroyed_is_an_error_of_who_waits) {
  auto gone = std::make_unique<channel<int>>();
  spawn([&] {
    try {
      select(on_receive(a, [](int) {}), on_receive(*gone, [](int) {}));
    } catch (const stackless::state_error&) {
      out("destroyed");
    }
  });
  run();
  gone.reset();
  run();
  EXPECT_EQ(trace, lines{"destroyed"});
  EXPECT_EQ(a.balance(), 0);
}

TEST_F(selects, a_channel_that_is_destroyed_is_one_error_of_who_waits_there_twice) {
  auto gone = std::make_unique<channel<int>>();
  spawn([&] { out(err([&] { select(on_receive(*gone, [](int) {}), on_receive(*gone, [](int) {})); })); });
  run();
  gone.reset();
  run();
  EXPECT_EQ(trace, lines{"state_error: what the tasklet waited on was destroyed"});
}

TEST_F(selects, values_are_moved_and_come_to_nobody_but_who_receives) {
  channel<std::unique_ptr<int>> p, q;
  spawn([&] {
    select(on_send(p, std::make_unique<int>(1), [&] { out("p"); }), on_send(q, std::make_unique<int>(2), [&] { out("q"); }));
  });
  run();
  EXPECT_EQ(*q.receive(), 2);
  EXPECT_EQ(p.balance(), 0);
  run();
  EXPECT_EQ(trace, lines{"q"});
}

TEST_F(selects, channels_without_values) {
  channel<void> signal;
  spawn([&] { select(on_receive(signal, [&] { out("signalled"); }), on_receive(a, [](int) {})); });
  run();
  select(on_send(signal, [&] { out("sent"); }));
  run();
  EXPECT_EQ(trace, (lines{"signalled", "sent"}));
}

/// Cannot be moved when told so.
struct stubborn {
  bool* refuses;
  explicit stubborn(bool* r) : refuses(r) {}
  stubborn(stubborn&& other) : refuses(other.refuses) {
    if (*refuses) throw std::runtime_error("not moved");
  }
};

TEST_F(selects, value_that_cannot_be_handed_over_leaves_both_waiting) {
  channel<stubborn> c;
  bool refuses = false;
  spawn([&] { select(on_receive(a, [](int) {}), on_receive(c, [&](stubborn) { out("received"); })); });
  run();
  stubborn s(&refuses);
  refuses = true;
  EXPECT_THROW(c.try_send(std::move(s)), std::runtime_error);
  run();
  EXPECT_EQ(c.balance(), -1);
  EXPECT_EQ(a.balance(), -1);
  refuses = false;
  c.send(std::move(s));
  run();
  EXPECT_EQ(trace, lines{"received"});
}

}  // namespace
