// What becomes of tasklets, errors and stacks that nobody asks for any more.

#include <gtest/gtest.h>

#include <cstdlib>
#include <exception>
#include <functional>
#include <memory>
#include <optional>
#include <set>
#include <stackless/channel.hpp>
#include <stackless/error.hpp>
#include <stackless/scheduler.hpp>
#include <stackless/tasklet.hpp>
#include <stdexcept>
#include <thread>

#include "core/access.hpp"
#include "core/scheduler.hpp"
#include "tests/core/leaving.hpp"

namespace {

using stackless::channel;
using stackless::run;
using stackless::schedule;
using stackless::schedule_remove;
using stackless::tasklet;
using stackless::TaskletExit;

class forgotten : public testing::Test {
 protected:
  void TearDown() override { EXPECT_EQ(stackless::runcount(), 1u); }
};

TEST_F(forgotten, tasklet_without_a_handle_that_pauses_is_unwound) {
  pausing p;
  tasklet([&] { p.pause(); });
  run();
  EXPECT_TRUE(p.left);
  EXPECT_TRUE(p.by_TaskletExit);
}

TEST_F(forgotten, tasklet_that_drops_its_own_last_handle_and_pauses_is_unwound) {
  bool left = false;
  std::optional<tasklet> only;
  only.emplace([&] {
    leaving l{left};
    only.reset();
    schedule_remove();
  });
  run();
  EXPECT_TRUE(left);
}

/// Drops the last handle of a tasklet that an error leaves then. Nobody else gets a turn.
void drop_one_that_fails() {
  tasklet([] {
    try {
      schedule_remove();
    } catch (const TaskletExit&) {
      throw std::runtime_error("cleanup failed");
    }
  }).run();
}

/// The error of a dropped tasklet is met by `operation`, before that lets anybody run.
void expect_error_first(const std::function<void()>& operation) {
  bool ran = false;
  tasklet other([&] { ran = true; });
  drop_one_that_fails();
  EXPECT_FALSE(ran);
  EXPECT_THROW(operation(), std::runtime_error);
  EXPECT_FALSE(ran);
  EXPECT_NO_THROW(run()) << "it is met once";
  EXPECT_TRUE(ran);
}

TEST_F(forgotten, error_is_met_by_the_next_schedule) {
  expect_error_first([] { schedule(); });
}

TEST_F(forgotten, error_is_met_by_the_next_run) {
  expect_error_first([] { run(); });
}

TEST_F(forgotten, error_is_met_by_the_next_schedule_remove) {
  expect_error_first([] { schedule_remove(); });
}

TEST_F(forgotten, error_is_met_before_another_tasklet_is_run) {
  bool ran = false;
  tasklet next = tasklet::bound([&] { ran = true; });
  expect_error_first([&] { next.run(); });
  EXPECT_FALSE(ran);
}

TEST_F(forgotten, error_is_met_before_another_tasklet_is_killed) {
  tasklet victim([] { schedule_remove(); });
  victim.run();
  expect_error_first([&] { victim.kill(); });
  EXPECT_TRUE(victim.alive());
}

TEST_F(forgotten, error_does_not_cost_the_value_of_a_waiting_sender) {
  channel<int> c;
  tasklet([&] {
    c.send(1);
    c.send(2);
  });
  run();
  drop_one_that_fails();
  EXPECT_THROW(c.receive(), std::runtime_error);
  EXPECT_EQ(c.balance(), 1);
  EXPECT_EQ(c.receive(), 1);
  EXPECT_EQ(c.receive(), 2);
  run();
}

TEST_F(forgotten, error_keeps_a_value_from_being_sent_unnoticed) {
  channel<int> c;
  int got = 0;
  tasklet([&] { got = c.receive(); });
  run();
  drop_one_that_fails();
  EXPECT_THROW(c.send(1), std::runtime_error);
  EXPECT_EQ(c.balance(), -1);
  c.send(2);
  EXPECT_EQ(got, 2);
}

TEST_F(forgotten, error_that_a_killed_tasklet_was_about_to_meet_is_released) {
  auto thrown = std::make_shared<int>();
  const std::weak_ptr<int> watched = thrown;
  tasklet t([] { schedule_remove(); });
  t.run();
  stackless::detail::fail(stackless::tasklet_access::record(t), std::make_exception_ptr(std::move(thrown)));
  EXPECT_FALSE(watched.expired());
  t.kill();
  EXPECT_FALSE(t.alive());
  EXPECT_TRUE(watched.expired());
}

TEST_F(forgotten, stack_of_a_threads_last_tasklet_is_given_back_when_the_thread_ends) {
  std::set<void*> stacks;
  for (int i = 0; i < 200; ++i) {
    std::thread([&] {
      tasklet([&] { stacks.insert(__builtin_frame_address(0)); });
      run();
    }).join();
  }
  EXPECT_LE(stacks.size(), 4u);
}

TEST_F(forgotten, waiting_tasklet_that_a_thread_leaves_behind_is_named_by_debug_builds) {
  // In a process of its own: nobody can end that tasklet any more.
  const auto leave_one_behind = [] {
    std::thread([] {
      static auto* const c = new channel<int>;
      tasklet([] { c->receive(); }).name("left behind");
      run();
    }).join();
    std::exit(0);
  };
#ifdef NDEBUG
  const auto report = testing::Eq("");
#else
  const auto report = testing::ContainsRegex("^stackless: tasklet 'left behind' waits on a channel, .*\n$");
#endif
  EXPECT_EXIT(leave_one_behind(), testing::ExitedWithCode(0), report);
}

}  // namespace
