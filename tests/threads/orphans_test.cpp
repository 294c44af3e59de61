// Tasklets whose thread has ended are kept, until somebody takes them to another.

#include <atomic>
#include <memory>
#include <optional>
#include <stackless/error.hpp>
#include <stdexcept>
#include <string>
#include <vector>

#include "elsewhere.hpp"
#include "tests/core/leaving.hpp"

namespace {

using stackless::channel;
using stackless::run;
using stackless::schedule;
using stackless::schedule_remove;
using stackless::tasklet;

class orphans : public with_threads {};

/// What `begin()` returns, when the thread that it was called in has ended.
template <class F>
auto left_by_a_thread(F begin) {
  std::optional<decltype(begin())> left;
  thread_of_kind([&] {
    left.emplace(begin());
    run();
  }).join();
  return std::move(*left);
}

TEST_F(orphans, G03_paused_tasklet_goes_on_here_when_it_has_been_bound_to_this_thread) {
  std::string trace;
  tasklet t = left_by_a_thread([&] {
    return tasklet([&] {
      trace += "there ";
      schedule_remove();
      trace += "here";
    });
  });
  EXPECT_TRUE(t.orphaned());
  EXPECT_TRUE(t.paused());
  try {
    t.insert();
    ADD_FAILURE() << "inserted";
  } catch (const stackless::state_error& e) {
    EXPECT_NE(std::string(e.what()).find("bind_thread()"), std::string::npos) << e.what();
  }
  EXPECT_TRUE(t.orphaned());
  t.bind_thread();
  EXPECT_FALSE(t.orphaned());
  t.insert();
  run();
  EXPECT_EQ(trace, "there here");
  EXPECT_FALSE(t.alive());
}

TEST_F(orphans, nothing_but_binding_works_on_one) {
  tasklet t = left_by_a_thread([] { return tasklet::bound([] {}); });
  EXPECT_THROW(t.run(), stackless::state_error);
  EXPECT_THROW(t.switch_to(), stackless::state_error);
  EXPECT_THROW(t.remove(), stackless::state_error);
  EXPECT_THROW(t.kill(), stackless::state_error);
  EXPECT_THROW(t.raise(1), stackless::state_error);
  EXPECT_THROW(t.join(), stackless::state_error);
  EXPECT_THROW(t.unbind(), stackless::state_error);
  EXPECT_THROW(t.name("x"), stackless::state_error);
  EXPECT_TRUE(t.orphaned());
  EXPECT_TRUE(t.paused());
}

TEST_F(orphans, one_that_never_started_starts_here) {
  bool ran = false;
  tasklet t = left_by_a_thread([&] { return tasklet::bound([&] { ran = true; }); });
  t.bind_thread();
  EXPECT_FALSE(ran);
  t.insert();
  run();
  EXPECT_TRUE(ran);
}

TEST_F(orphans, one_that_was_scheduled_is_paused) {
  bool ran = false;
  tasklet t = [&] {
    std::optional<tasklet> left;
    thread_of_kind([&] { left.emplace([&] { ran = true; }); }).join();
    return *left;
  }();
  EXPECT_TRUE(t.paused());
  t.bind_thread();
  t.insert();
  run();
  EXPECT_TRUE(ran);
}

TEST_F(orphans, receiver_stays_in_the_queue_and_receives_here) {
  channel<std::string> c;
  std::string got;
  tasklet t = left_by_a_thread([&] { return tasklet([&] { got = c.receive(); }); });
  EXPECT_TRUE(t.blocked());
  EXPECT_EQ(c.balance(), -1);
  t.bind_thread();
  EXPECT_TRUE(t.blocked());
  c.send("value");
  run();
  EXPECT_EQ(got, "value");
}

TEST_F(orphans, receiver_that_is_sent_to_is_paused_and_has_the_value_when_it_goes_on) {
  channel<std::string> c;
  std::string got;
  tasklet t = left_by_a_thread([&] { return tasklet([&] { got = c.receive(); }); });
  c.send("value");
  EXPECT_TRUE(t.orphaned());
  EXPECT_TRUE(t.paused());
  EXPECT_EQ(c.balance(), 0);
  t.bind_thread();
  t.insert();
  run();
  EXPECT_EQ(got, "value");
}

TEST_F(orphans, senders_are_received_from_in_their_order) {
  channel<int> c;
  auto senders = left_by_a_thread([&] {
    std::vector<tasklet> all;
    for (int i = 0; i != 3; ++i) all.emplace_back([&c, i] { c.send(i); });
    return all;
  });
  EXPECT_EQ(c.balance(), 3);
  for (int i = 0; i != 3; ++i) EXPECT_EQ(c.receive(), i);
  for (tasklet& t : senders) {
    t.bind_thread();
    t.insert();
  }
  run();
  for (tasklet& t : senders) EXPECT_FALSE(t.alive());
}

TEST_F(orphans, several_threads_bind_one_at_once_and_one_gets_it) {
  for (int round = 0; round != 50; ++round) {
    int ran = 0;
    tasklet t = left_by_a_thread([&] { return tasklet::bound([&] { ++ran; }); });
    std::atomic<int> got = 0, refused = 0;
    std::vector<std::thread> threads;
    for (int i = 0; i != 3; ++i) {
      threads.emplace_back([&, mine = t]() mutable {
        try {
          mine.bind_thread();
        } catch (const stackless::state_error&) {
          ++refused;
          return;
        }
        ++got;
        if (mine.alive()) mine.insert();
        run();
      });
    }
    for (std::thread& each : threads) each.join();
    // Whoever comes when the thread of the first has ended again gets it, too, but it is dead by then.
    EXPECT_GE(got, 1);
    EXPECT_EQ(ran, 1);
    EXPECT_FALSE(t.alive());
  }
}

TEST_F(orphans, last_handle_that_goes_anywhere_unwinds_it) {
  bool left = false;
  {
    tasklet t = left_by_a_thread([&] {
      return tasklet([&] {
        const leaving l{left};
        schedule_remove();
      });
    });
    std::thread([mine = std::move(t)] {}).join();
  }
  EXPECT_TRUE(left);
}

TEST_F(orphans, handles_that_go_in_two_threads_at_once_unwind_it_once) {
  for (int round = 0; round != 200; ++round) {
    int unwound = 0;
    std::optional<tasklet> one = left_by_a_thread([&] {
      return tasklet([&] {
        struct counting {
          int& n;
          ~counting() { ++n; }
        } const l{unwound};
        schedule_remove();
      });
    });
    std::atomic<bool> go = false;
    std::thread other([&, two = std::optional(*one)]() mutable {
      while (!go) std::this_thread::yield();
      two.reset();
    });
    go = true;
    one.reset();
    other.join();
    EXPECT_EQ(unwound, 1);
  }
}

TEST_F(orphans, those_without_a_handle_that_could_run_are_unwound_when_their_thread_ends) {
  const auto kept = std::make_shared<int>(7);
  bool left = false;
  thread_of_kind([&] {
    tasklet([&, copy = kept] {
      const leaving l{left};
      schedule();
      ADD_FAILURE() << "went on without a kill";
    });
    schedule();
    tasklet([copy = kept] {});
  }).join();
  EXPECT_TRUE(left);
  EXPECT_EQ(kept.use_count(), 1);
}

TEST_F(orphans, exceptions_in_flight_go_along) {
  std::string caught;
  tasklet t = left_by_a_thread([&] {
    return tasklet([&] {
      try {
        throw std::runtime_error("thrown there");
      } catch (...) {
        schedule_remove();
        try {
          throw;
        } catch (const std::exception& e) {
          caught = e.what();
        }
      }
    });
  });
  EXPECT_EQ(std::uncaught_exceptions(), 0);
  t.bind_thread();
  t.insert();
  run();
  EXPECT_EQ(caught, "thrown there");
}

TEST_F(orphans, block_trap_goes_along) {
  channel<int> c;
  bool trapped = false;
  tasklet t = left_by_a_thread([&] {
    return tasklet([&] {
      stackless::current().block_trap(true);
      schedule_remove();
      try {
        c.receive();
      } catch (const stackless::trap_error&) {
        trapped = true;
      }
    });
  });
  t.bind_thread();
  t.insert();
  run();
  EXPECT_TRUE(trapped);
}

thread_local int variable = 0;
thread_local int another = 0;

/// The address is in the frame while the caller is paused.
[[gnu::noinline]] int value_after_a_pause(int* address) {
  int* volatile kept = address;
  schedule_remove();
  return *kept;
}

TEST_F(orphans, address_of_a_thread_local_variable_in_a_frame_becomes_that_of_this_thread) {
  variable = 1;
  int seen = 0;
  tasklet t = left_by_a_thread([&] {
    variable = 2;
    return tasklet([&] { seen = value_after_a_pause(&variable); });
  });
  t.bind_thread();
  t.insert();
  run();
  EXPECT_EQ(seen, 1);
}

TEST_F(orphans, thread_local_variables_named_before_and_after_a_pause_are_those_of_each_thread) {
  variable = 10;
  another = 20;
  int first = 0, second = 0, third = 0;
  tasklet t = left_by_a_thread([&] {
    variable = 1;
    another = 2;
    return tasklet([&] {
      first = variable + another;
      schedule_remove();
      second = variable + another;
      ++variable;
      stackless::out_of_line([] { schedule(); });
      third = variable + another;
    });
  });
  t.bind_thread();
  t.insert();
  run();
  EXPECT_EQ(first, 3);
  EXPECT_EQ(second, 30);
  EXPECT_EQ(third, 31);
}

}  // namespace
