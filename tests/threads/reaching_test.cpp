// What one thread can do to the tasklets of another, whatever they are doing.

#include <atomic>
#include <memory>
#include <optional>
#include <stackless/error.hpp>
#include <stdexcept>
#include <string>

#include "elsewhere.hpp"
#include "tests/core/leaving.hpp"

namespace {

using stackless::channel;
using stackless::run;
using stackless::schedule;
using stackless::schedule_remove;
using stackless::tasklet;

class reaching : public with_threads {
 protected:
  /// A tasklet there that does `f`, until it waits.
  tasklet started(std::function<void()> f) {
    return there_.get<tasklet>([&] {
      tasklet t(f);
      schedule();
      return t;
    });
  }

  void TearDown() override {
    there_.end();
    with_threads::TearDown();
  }

  elsewhere there_;
};

TEST_F(reaching, kill_unwinds_a_paused_one) {
  pausing p;
  tasklet t = started([&] { p.pause(); });
  t.kill();
  t.join();
  EXPECT_TRUE(p.by_TaskletExit);
}

TEST_F(reaching, kill_lets_one_that_never_started_never_start) {
  bool ran = false;
  tasklet t = there_.get<tasklet>([&] { return tasklet::bound([&] { ran = true; }); });
  t.kill();
  t.join();
  EXPECT_FALSE(ran);
  EXPECT_FALSE(t.alive());
}

TEST_F(reaching, kill_unwinds_one_that_waits_on_a_channel_of_its_thread) {
  channel<int> c;
  bool left = false;
  tasklet t = started([&] {
    const leaving l{left};
    c.receive();
  });
  t.kill();
  t.join();
  EXPECT_TRUE(left);
  EXPECT_EQ(c.balance(), 0);
}

TEST_F(reaching, kill_unwinds_one_that_waits_on_a_shared_channel) {
  channel<std::string> c;
  EXPECT_EQ(c.balance(), 0);
  EXPECT_FALSE(c.try_receive());
  bool left = false;
  tasklet t = started([&] {
    const leaving l{left};
    c.send("value");
  });
  EXPECT_EQ(c.balance(), 1);
  t.kill();
  t.join();
  EXPECT_TRUE(left);
  EXPECT_EQ(c.balance(), 0);
}

TEST_F(reaching, exception_reaches_a_paused_one) {
  std::string caught;
  tasklet t = started([&] {
    try {
      schedule_remove();
    } catch (const std::runtime_error& e) {
      caught = e.what();
    }
  });
  t.raise(std::runtime_error("thrown elsewhere"));
  t.join();
  EXPECT_EQ(caught, "thrown elsewhere");
}

TEST_F(reaching, exception_reaches_one_that_waits_on_a_shared_channel_with_a_value_in_hand) {
  channel<std::shared_ptr<int>> c;
  const auto value = std::make_shared<int>(1);
  std::string caught;
  tasklet t = started([&] {
    try {
      c.send(value);
    } catch (const std::runtime_error& e) {
      caught = e.what();
    }
  });
  EXPECT_EQ(c.balance(), 1);
  t.raise(std::runtime_error("thrown elsewhere"));
  t.join();
  EXPECT_EQ(caught, "thrown elsewhere");
  EXPECT_EQ(c.balance(), 0);
  EXPECT_EQ(value.use_count(), 1);
}

TEST_F(reaching, insert_wakes_a_paused_one_once) {
  int woken = 0;
  tasklet t = started([&] {
    schedule_remove();
    ++woken;
  });
  t.insert();
  t.join();
  EXPECT_EQ(woken, 1);
  EXPECT_THROW(t.insert(), stackless::state_error);
}

TEST_F(reaching, run_wakes_a_paused_one_and_goes_on) {
  std::thread::id woken;
  tasklet t = started([&] {
    schedule_remove();
    woken = this_thread();
  });
  t.run();
  t.join();
  EXPECT_EQ(woken, there_.get<std::thread::id>(this_thread));
}

TEST_F(reaching, insert_of_one_that_waits_is_refused) {
  channel<int> c;
  tasklet t = started([&] { c.receive(); });
  EXPECT_THROW(t.insert(), stackless::state_error);
  EXPECT_EQ(c.balance(), -1);
  c.send(1);
  t.join();
}

TEST_F(reaching, join_waits_for_one_that_waits) {
  channel<int> c;
  int got = 0;
  tasklet t = started([&] { got = c.receive(); });
  tasklet([&] { c.send(7); });
  t.join();
  EXPECT_EQ(got, 7);
}

TEST_F(reaching, many_join_one) {
  int joined = 0;
  tasklet t = started([] { schedule_remove(); });
  for (int i = 0; i != 5; ++i) {
    tasklet([&] {
      t.join();
      ++joined;
    });
  }
  schedule();
  t.insert();
  while (joined != 5) {
    run({.serve = true});
  }
  EXPECT_FALSE(t.alive());
}

TEST_F(reaching, what_would_touch_another_threads_tasklet_is_refused) {
  tasklet t = there_.get<tasklet>([] { return tasklet::bound([] {}); });
  EXPECT_THROW(t.remove(), stackless::state_error);
  EXPECT_THROW(t.switch_to(), stackless::state_error);
  EXPECT_THROW(t.unbind(), stackless::state_error);
  EXPECT_THROW(t.bind([] {}), stackless::state_error);
  EXPECT_THROW(t.arm(), stackless::state_error);
  EXPECT_THROW(t.next(), stackless::state_error);
  EXPECT_THROW(t.prev(), stackless::state_error);
  EXPECT_THROW(t.set_atomic(true), stackless::state_error);
  EXPECT_THROW(t.block_trap(true), stackless::state_error);
  EXPECT_THROW(t.name("x"), stackless::state_error);
  EXPECT_THROW(t.tempval(1), stackless::state_error);
  EXPECT_FALSE(t.restorable());
  EXPECT_TRUE(t.paused());
}

TEST_F(reaching, kill_of_one_that_a_third_thread_is_just_waking_ends_it_once) {
  for (int i = 0; i != 300; ++i) {
    channel<std::shared_ptr<int>> c;
    const auto value = std::make_shared<int>(i);
    int left = 0;
    struct counting {
      int& n;
      ~counting() { ++n; }
    };
    tasklet t = started([&] {
      const counting l{left};
      c.receive();
    });
    ASSERT_EQ(c.balance(), -1);
    std::thread third([&] { c.try_send(std::shared_ptr<int>(value)); });
    if (i % 2 == 0) {
      t.kill();
    } else {
      there_([&] { t.kill(); });
    }
    third.join();
    t.join();
    EXPECT_EQ(left, 1);
    EXPECT_EQ(c.balance(), 0);
    EXPECT_EQ(value.use_count(), 1);
  }
}

TEST_F(reaching, kill_reaches_a_tasklet_that_runs) {
  std::atomic<bool> running = false, killed = false;
  bool left = false, after = false;
  channel<tasklet> out(1);
  channel<void> never;
  thread_of_kind other([&] {
    tasklet([&] {
      const leaving l{left};
      out.send(stackless::current());
      running = true;
      while (!killed) nap();
      never.receive();
      after = true;
    });
    run();
  });
  tasklet t = out.receive();
  while (!running) nap();
  t.kill();
  killed = true;
  other.join();
  EXPECT_TRUE(left);
  EXPECT_FALSE(after);
  EXPECT_FALSE(t.alive());
}

TEST_F(reaching, exception_reaches_a_tasklet_that_runs) {
  std::atomic<bool> running = false, thrown = false;
  std::string caught;
  channel<tasklet> out(1);
  channel<void> never;
  thread_of_kind other([&] {
    tasklet([&] {
      out.send(stackless::current());
      running = true;
      while (!thrown) nap();
      try {
        schedule();
      } catch (const std::runtime_error& e) {
        caught = e.what();
      }
    });
    run();
  });
  tasklet t = out.receive();
  while (!running) nap();
  t.raise(std::runtime_error("while it ran"));
  thrown = true;
  other.join();
  EXPECT_EQ(caught, "while it ran");
}

}  // namespace
