// Groups whose time is up.

#include <optional>
#include <stackless/error.hpp>
#include <stackless/group.hpp>
#include <stackless/sync.hpp>

#include "tests/events/waiting.hpp"

namespace {

using stackless::group;

class group_timeout : public event_case {
 protected:
  /// Sleeps, and says whether it was left in peace.
  void sleep(const char* name, std::chrono::nanoseconds time) {
    try {
      ++asleep;
      sleep_for(time);
      trace.push_back(name + std::string(" slept"));
    } catch (const TaskletExit&) {
      trace.push_back(name + std::string(" was killed"));
      throw;
    }
  }

  int asleep = 0;
};

TEST_F(group_timeout, all_are_killed_when_the_time_of_the_wait_is_up) {
  try {
    group g;
    g.spawn([&] { sleep("a", long_time); });
    g.spawn([&] {
      group inner;
      inner.spawn([&] { sleep("b", long_time); });
      inner.wait();
    });
    while (asleep != 2) schedule();
    const timeout limit(2ms);
    g.wait();
  } catch (const timeout_error&) {
    trace.push_back("the time is up");
  }
  EXPECT_EQ(trace, (lines{"a was killed", "b was killed", "the time is up"}));
}

TEST_F(group_timeout, timeout_inside_of_the_group_leaves_it_to_go_on) {
  group g;
  g.spawn([&] { sleep("a", 5ms); });
  try {
    const timeout limit(1ms);
    g.wait();
  } catch (const timeout_error&) {
    trace.push_back("the time is up");
  }
  g.wait();
  EXPECT_EQ(trace, (lines{"the time is up", "a slept"}));
}

TEST_F(group_timeout, time_of_one_of_the_group_is_its_error) {
  group g;
  g.spawn([&] { sleep("a", long_time); });
  g.spawn([&] {
    const timeout limit(1ms);
    sleep_for(long_time);
  });
  EXPECT_THROW(g.wait(), timeout_error);
  EXPECT_EQ(trace, lines{"a was killed"});
}

TEST_F(group_timeout, time_that_is_up_while_the_destructor_waits_is_thrown_afterwards) {
  bool left = false;
  try {
    std::optional<timeout> limit;
    {
      group g;
      g.spawn([&] {
        try {
          sleep("a", long_time);
        } catch (const TaskletExit&) {
          while (!limit->expired()) sleep_for(1ms);
          trace.push_back("a has ended");
        }
      });
      while (asleep != 1) schedule();
      limit.emplace(2ms);
    }
    left = true;
    schedule();
    trace.push_back("never");
  } catch (const timeout_error&) {
    trace.push_back("the time is up");
  }
  EXPECT_TRUE(left);
  EXPECT_EQ(trace, (lines{"a was killed", "a has ended", "the time is up"}));
}

TEST_F(group_timeout, time_for_a_mutex_may_be_up_and_nothing_is_lost) {
  stackless::mutex m;
  group g;
  m.lock();
  g.spawn([&] {
    const timeout limit(1ms);
    EXPECT_THROW(m.lock(), timeout_error);
    trace.push_back("the time is up");
  });
  g.wait();
  m.unlock();
  EXPECT_TRUE(m.try_lock());
  m.unlock();
  EXPECT_EQ(trace, lines{"the time is up"});
}

}  // namespace
