// Selects of several threads that meet on the same channels.

#include <gtest/gtest.h>

#include <cstdint>
#include <stackless/channel.hpp>
#include <stackless/scheduler.hpp>
#include <stackless/select.hpp>
#include <stackless/tasklet.hpp>
#include <thread>
#include <vector>

namespace {

using stackless::channel;
using stackless::on_receive;
using stackless::on_send;
using stackless::select;
using stackless::tasklet;

constexpr int rounds = 5000;

TEST(select_threads, values_of_several_senders_arrive_once_each) {
  channel<int> a, b;
  std::int64_t sum = 0;
  std::thread from_a([&] {
    tasklet([&] {
      for (int i = 1; i <= rounds; ++i) a.send(i);
    });
    stackless::run({.serve = true});
  });
  std::thread from_b([&] {
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
TEST(select_threads, selects_that_send_meet_selects_that_receive) {
  channel<int> a, b;
  std::int64_t sent = 0, received = 0;
  std::thread sender([&] {
    tasklet([&] {
      for (int i = 1; i <= rounds; ++i) {
        select(on_send(a, i, [&] { sent += i; }), on_send(b, 3 * i, [&] { sent += 3 * i; }));
      }
    });
    stackless::run({.serve = true});
  });
  std::thread receiver([&] {
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

}  // namespace
