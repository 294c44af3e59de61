// Who lives how long: handles, stacks, callables, tasklets that nobody remembers.

#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdio>
#include <memory>
#include <optional>
#include <stackless/channel.hpp>
#include <stackless/error.hpp>
#include <stackless/scheduler.hpp>
#include <stackless/tasklet.hpp>
#include <stdexcept>
#include <utility>
#include <vector>

#include "core/heap.hpp"
#include "tests/core/leaving.hpp"

namespace {

using stackless::channel;
using stackless::current;
using stackless::run;
using stackless::runcount;
using stackless::schedule;
using stackless::schedule_remove;
using stackless::tasklet;

struct callable {
  struct tally {
    int made = 0, copied = 0, moved = 0, destroyed = 0, called = 0;

    int living() const { return made + copied + moved - destroyed; }
  };

  explicit callable(tally& t) : counts(&t) { ++counts->made; }
  callable(const callable& other) : counts(other.counts) { ++counts->copied; }
  callable(callable&& other) noexcept : counts(other.counts) { ++counts->moved; }
  callable& operator=(const callable&) = delete;
  ~callable() { ++counts->destroyed; }

  template <class... Args>
  void operator()(Args&&...) const {
    ++counts->called;
  }

  tally* counts;
};

TEST(lifetime, handle_of_a_finished_tasklet_says_so_for_as_long_as_it_is_held) {
  tasklet t([] {});
  tasklet copy = t;
  run();
  EXPECT_FALSE(t.alive());
  t = tasklet::bound([] {});
  EXPECT_TRUE(t.alive());
  EXPECT_FALSE(copy.alive());
  EXPECT_NE(t, copy);
}

TEST(lifetime, handles_are_counted_through_copy_move_and_assignment) {
  bool left = false;
  {
    tasklet t([&] {
      leaving l{left};
      schedule_remove();
    });
    run();
    tasklet copy = t;
    tasklet moved = std::move(t);
    tasklet& itself = moved;
    moved = itself;
    copy = moved;
    moved = tasklet::bound([] {});
    EXPECT_FALSE(left);
    EXPECT_TRUE(copy.paused());
  }
  EXPECT_TRUE(left);
  EXPECT_EQ(runcount(), 1u);
}

TEST(lifetime, paused_tasklet_that_nobody_can_wake_is_unwound) {
  pausing p;
  {
    tasklet t([&] { p.pause(); });
    run();
    EXPECT_FALSE(p.left);
  }
  EXPECT_TRUE(p.left);
  EXPECT_TRUE(p.by_TaskletExit);
}

TEST(lifetime, unwound_tasklet_may_drop_the_handle_of_another) {
  int left = 0;
  struct count_down {
    int& n;
    ~count_down() { ++n; }
  };
  std::optional<tasklet> chain;
  for (int i = 0; i < 10; ++i) {
    chain = tasklet([&left, previous = std::move(chain)] {
      count_down c{left};
      schedule_remove();
    });
    run();
  }
  chain.reset();
  run();
  EXPECT_EQ(left, 10);
}

TEST(lifetime, tasklet_that_holds_its_own_handle_ends_as_any_other) {
  bool left = false;
  tasklet([&] {
    leaving l{left};
    tasklet me = current();
    schedule();
  });
  run();
  EXPECT_TRUE(left);
}

TEST(lifetime, unstarted_tasklet_that_is_dropped_never_runs) {
  callable::tally counts;
  { tasklet t = tasklet::bound(callable(counts)); }
  EXPECT_EQ(counts.called, 0);
  EXPECT_EQ(counts.living(), 0);
  EXPECT_EQ(counts.copied, 0);
}

TEST(lifetime, scheduled_and_blocked_tasklets_live_without_a_handle) {
  channel<int> c;
  int got = 0;
  tasklet([&] { got = c.receive(); });
  run();
  EXPECT_EQ(c.balance(), -1);
  c.send(3);
  EXPECT_EQ(got, 3);
}

TEST(lifetime, callable_and_arguments_are_moved_in_and_destroyed_once) {
  callable::tally f, argument;
  {
    tasklet t(callable{f}, callable{argument}, std::make_unique<int>(1));
    EXPECT_EQ(f.living(), 1);
    EXPECT_EQ(argument.living(), 1);
    run();
    EXPECT_EQ(f.living(), 0) << "the closure ends with the tasklet, not with its handle";
  }
  for (const auto& counts : {f, argument}) {
    EXPECT_EQ(counts.copied, 0);
    EXPECT_LE(counts.moved, 2) << "in, and small ones from the record onto the stack";
    EXPECT_EQ(counts.living(), 0);
  }
  EXPECT_EQ(f.called, 1);
}

TEST(lifetime, lvalue_callable_and_arguments_are_copied_once) {
  callable::tally counts;
  const callable f(counts);
  tasklet(f, f);
  run();
  EXPECT_EQ(counts.called, 1);
  EXPECT_EQ(counts.copied, 2);
  EXPECT_EQ(counts.living(), 1);
}

/// Throws when it is copied, and keeps where to.
struct uncopyable {
  static inline const void* copy = nullptr;

  uncopyable() = default;
  uncopyable(const uncopyable&) {
    copy = this;
    throw std::runtime_error("does not copy");
  }
  void operator()() const {}
};

TEST(lifetime, callable_or_argument_that_cannot_be_copied_leaves_nothing_behind) {
  const uncopyable u;
  const auto copy_is_in_the_heap = [] {
    return static_cast<bool>(stackless::heap::find(reinterpret_cast<std::uintptr_t>(uncopyable::copy)));
  };
  EXPECT_THROW(tasklet{u}, std::runtime_error);
  EXPECT_FALSE(copy_is_in_the_heap());

  callable::tally counts;
  EXPECT_THROW(tasklet(callable(counts), u), std::runtime_error);
  EXPECT_FALSE(copy_is_in_the_heap());
  EXPECT_EQ(counts.living(), 0);
  EXPECT_EQ(counts.called, 0);
  EXPECT_EQ(runcount(), 1u);
}

TEST(lifetime, callable_of_a_tasklet_that_throws_or_is_killed_is_destroyed_once) {
  callable::tally counts;
  tasklet([c = callable(counts)] { throw 1; });
  EXPECT_THROW(run(), int);
  EXPECT_EQ(counts.living(), 0);
  tasklet killed([c = callable(counts)] { schedule_remove(); });
  run();
  EXPECT_EQ(counts.living(), 1);
  killed.kill();
  EXPECT_EQ(counts.living(), 0);
  EXPECT_EQ(counts.copied, 0);
}

TEST(lifetime, channel_destroyed_while_tasklets_wait_wakes_them_with_an_error) {
  std::optional<channel<int>> c(std::in_place);
  std::vector<std::string> told;
  for (int i = 0; i < 3; ++i) {
    tasklet([&] {
      try {
        c->receive();
      } catch (const stackless::state_error& e) {
        told.push_back(e.what());
      }
    });
  }
  run();
  c.reset();
  run();
  ASSERT_EQ(told.size(), 3u);
  EXPECT_NE(told.front().find("was destroyed"), std::string::npos);
}

long resident_bytes() {
  long pages = 0;
  std::FILE* statm = std::fopen("/proc/self/statm", "r");
  if (statm == nullptr || std::fscanf(statm, "%*d %ld", &pages) != 1) return 0;
  std::fclose(statm);
  return pages * sysconf(_SC_PAGESIZE);
}

TEST(lifetime, memory_of_the_dead_is_used_again) {
  const auto spawn_and_run = [](int count) {
    int ran = 0;
    for (int i = 0; i < count; ++i) {
      tasklet([&] { ++ran; });
      run();
    }
    return ran;
  };
  spawn_and_run(100);
  const long before = resident_bytes();
  EXPECT_EQ(spawn_and_run(100'000), 100'000);
  EXPECT_LT(resident_bytes() - before, 4 << 20);
}

TEST(lifetime, ten_thousand_tasklets_parked_at_once) {
  constexpr int count = 10'000;
  channel<int> c;
  long sum = 0;
  for (int i = 0; i < count; ++i) {
    tasklet([&c, &sum, i] { sum += static_cast<long>(i) * c.receive(); });
  }
  run();
  EXPECT_EQ(c.balance(), -count);
  while (c.balance() < 0) c.send(2);
  EXPECT_EQ(sum, static_cast<long>(count) * (count - 1));
  EXPECT_EQ(runcount(), 1u);
}

}  // namespace
