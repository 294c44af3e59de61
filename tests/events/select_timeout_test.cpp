// A select that waits no longer than it is told.

#include <gtest/gtest.h>

#include <chrono>
#include <stackless/channel.hpp>
#include <stackless/events.hpp>
#include <stackless/scheduler.hpp>
#include <stackless/select.hpp>
#include <stackless/tasklet.hpp>

namespace {

using namespace std::chrono_literals;
using stackless::channel;
using stackless::on_receive;
using stackless::select;

TEST(select_timeout, the_alarm_is_met_when_nobody_else_comes) {
  channel<int> c;
  const auto begun = stackless::event_clock::now();
  stackless::alarm limit(5ms);
  bool gave_up = false;
  EXPECT_EQ(select(on_receive(c, [](int) {}), on_receive(limit.channel(), [&] { gave_up = true; })), 1u);
  EXPECT_TRUE(gave_up);
  EXPECT_GE(stackless::event_clock::now() - begun, 5ms);
  EXPECT_EQ(c.balance(), 0);
}

TEST(select_timeout, a_value_that_comes_first_is_taken) {
  channel<int> c;
  stackless::alarm limit(1h);
  stackless::tasklet([&] {
    stackless::sleep_for(1ms);
    c.send(7);
  });
  int got = 0;
  EXPECT_EQ(select(on_receive(c, [&](int n) { got = n; }), on_receive(limit.channel(), [] {})), 0u);
  EXPECT_EQ(got, 7);
}

TEST(select_timeout, a_timeout_is_thrown_where_it_waits) {
  channel<int> a, b;
  EXPECT_THROW(
      {
        stackless::timeout limit(2ms);
        select(on_receive(a, [](int) {}), on_receive(b, [](int) {}));
      },
      stackless::timeout_error);
  EXPECT_EQ(a.balance(), 0);
  EXPECT_EQ(b.balance(), 0);
}

}  // namespace
