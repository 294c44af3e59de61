// Selects of several threads that meet on the same channels.

#include <atomic>
#include <cstdint>
#include <optional>
#include <stackless/select.hpp>
#include <string>
#include <vector>

#include "elsewhere.hpp"
#include "tests/core/leaving.hpp"

namespace {

using stackless::channel;
using stackless::on_receive;
using stackless::on_send;
using stackless::select;
using stackless::tasklet;

constexpr int rounds = 5000;

class select_threads : public with_threads {};

TEST_F(select_threads, values_of_several_senders_arrive_once_each) {
  channel<int> a, b;
  std::int64_t sum = 0;
  thread_of_kind from_a([&] {
    tasklet([&] {
      for (int i = 1; i <= rounds; ++i) a.send(i);
    });
    stackless::run({.serve = true});
  });
  thread_of_kind from_b([&] {
    tasklet([&] {
      for (int i = 1; i <= rounds; ++i) b.send(-2 * i);
    });
    stackless::run({.serve = true});
  });
  for (int i = 0; i != 2 * rounds; ++i) {
    select(on_receive(a, [&](int n) { sum += n; }), on_receive(b, [&](int n) { sum += n; }));
  }
  from_a.join();
  from_b.join();
  EXPECT_EQ(sum, -std::int64_t{rounds} * (rounds + 1) / 2);
  EXPECT_EQ(a.balance(), 0);
  EXPECT_EQ(b.balance(), 0);
}

// Each side offers to send and to receive on both channels: whoever meets whom, what is sent is received once.
TEST_F(select_threads, selects_that_send_meet_selects_that_receive) {
  channel<int> a, b;
  std::int64_t sent = 0, received = 0;
  thread_of_kind sender([&] {
    tasklet([&] {
      for (int i = 1; i <= rounds; ++i) {
        select(on_send(a, i, [&] { sent += i; }), on_send(b, 3 * i, [&] { sent += 3 * i; }));
      }
    });
    stackless::run({.serve = true});
  });
  thread_of_kind receiver([&] {
    tasklet([&] {
      for (int i = 1; i <= rounds; ++i) {
        select(on_receive(b, [&](int n) { received += n; }), on_receive(a, [&](int n) { received += n; }));
      }
    });
    stackless::run({.serve = true});
  });
  sender.join();
  receiver.join();
  EXPECT_EQ(sent, received);
  EXPECT_GE(sent, std::int64_t{rounds} * (rounds + 1) / 2);
}

/// Receives from one of two, in a tasklet.
struct chooser {
  channel<int> a;
  channel<std::string> b;
  std::string got;
  std::thread::id ran;
  bool left = false;

  void choose() {
    const leaving l{left};
    select(on_receive(a, [&](int n) { got = std::to_string(n); }), on_receive(b, [&](std::string s) { got = s; }));
    ran = this_thread();
  }
};

TEST_F(select_threads, one_that_is_moved_waits_on_there) {
  chooser c;
  elsewhere there;
  tasklet t([&] { c.choose(); });
  stackless::run();
  EXPECT_EQ(c.a.balance(), -1);
  t.bind_thread(there.main());
  there([] { stackless::schedule(); });
  EXPECT_EQ(c.a.balance(), -1);
  EXPECT_EQ(c.b.balance(), -1);
  c.b.send("value");
  t.join();
  EXPECT_EQ(c.got, "value");
  EXPECT_EQ(c.ran, there.get<std::thread::id>(this_thread));
  EXPECT_EQ(c.a.balance(), 0);
}

TEST_F(select_threads, one_with_a_value_to_send_takes_it_along) {
  channel<std::string> a, b;
  elsewhere there;
  tasklet t([&] { select(on_send(a, "to a", [] {}), on_send(b, "to b", [] {})); });
  stackless::run();
  t.bind_thread(there.main());
  EXPECT_EQ(b.receive(), "to b");
  t.join();
  EXPECT_EQ(a.balance(), 0);
}

TEST_F(select_threads, one_whose_thread_has_ended_is_paused_and_looks_again_where_it_goes_on) {
  chooser c;
  std::optional<tasklet> t;
  thread_of_kind([&] {
    t.emplace([&] { c.choose(); });
    stackless::run();
  }).join();
  EXPECT_TRUE(t->orphaned());
  EXPECT_TRUE(t->paused());
  EXPECT_EQ(c.a.balance(), 0);
  t->bind_thread();
  t->insert();
  stackless::run();
  EXPECT_EQ(c.a.balance(), -1);
  c.a.send(7);
  EXPECT_EQ(c.got, "7");
  EXPECT_EQ(c.ran, this_thread());
}

TEST_F(select_threads, one_that_is_sent_to_while_its_thread_ends_has_the_value_or_looks_again) {
  for (int i = 0; i != 300; ++i) {
    chooser c;
    std::optional<tasklet> t;
    std::atomic<bool> ending = false;
    thread_of_kind there([&] {
      t.emplace([&] { c.choose(); });
      stackless::run();
      ending = true;
    });
    while (!ending) std::this_thread::yield();
    const bool sent = c.a.try_send(int{i});
    there.join();
    t->bind_thread();
    t->insert();
    stackless::run();
    if (!sent) c.b.send("later");
    EXPECT_EQ(c.got, sent ? std::to_string(i) : "later");
    EXPECT_FALSE(t->alive());
  }
}

TEST_F(select_threads, one_that_nobody_has_a_handle_to_is_unwound_when_its_thread_ends) {
  chooser c;
  std::thread([&] {
    tasklet([&] { c.choose(); });
    stackless::run();
  }).join();
  EXPECT_TRUE(c.left);
  EXPECT_EQ(c.got, "");
  EXPECT_EQ(c.a.balance(), 0);
  EXPECT_EQ(c.b.balance(), 0);
}

}  // namespace
