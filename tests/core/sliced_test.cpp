// Sliced stacks: what shares a slot keeps its bytes, wherever they are, and what could not is refused.

#include <gtest/gtest.h>

#include <array>
#include <cstring>
#include <memory>
#include <numeric>
#include <stackless/channel.hpp>
#include <stackless/error.hpp>
#include <stackless/scheduler.hpp>
#include <stackless/sync.hpp>
#include <stackless/tasklet.hpp>
#include <stdexcept>
#include <string>
#include <vector>

#include "core/record.hpp"
#include "core/access.hpp"
#include "core/slot.hpp"
#include "tests/stack_kind.hpp"

namespace {

using stackless::channel;
using stackless::run;
using stackless::schedule;
using stackless::schedule_remove;
using stackless::tasklet;

constexpr stackless::tasklet_options own{.stack = stackless::stack::own};
constexpr stackless::tasklet_options sliced{.stack = stackless::stack::sliced};

stackless::slot* slot_of(const tasklet& t) { return stackless::tasklet_access::record(t)->stack; }

class slicing : public testing::Test {
 protected:
  void SetUp() override { stackless::share_slots(slots_of_this_run()); }
  void TearDown() override {
    run();
    stackless::share_slots(slots_of_this_run());
    EXPECT_EQ(stackless::runcount(), 1u);
  }
};

/// Fills its frame with what only it writes, and finds that again after each switch.
void keep(int seed, int rounds, bool& right) {
  std::array<int, 100> mine;
  for (int round = 0; round != rounds; ++round) {
    std::iota(mine.begin(), mine.end(), seed + round);
    schedule();
    for (std::size_t i = 0; i != mine.size(); ++i) right = right && mine[i] == seed + round + static_cast<int>(i);
  }
}

TEST_F(slicing, tasklets_of_one_slot_keep_their_frames_apart) {
  constexpr std::size_t count = 200;
  std::array<bool, count> right;
  right.fill(true);
  std::vector<tasklet> all;
  for (std::size_t i = 0; i != count; ++i) {
    all.emplace_back(sliced, [&right, i] { keep(static_cast<int>(1000 * i), 10, right[i]); });
  }
  if (!stacks_are("strict")) {
    for (const tasklet& t : all) EXPECT_EQ(slot_of(t), slot_of(all.front()));
  }
  run();
  for (const bool each : right) EXPECT_TRUE(each);
}

TEST_F(slicing, locals_have_the_same_addresses_all_the_time) {
  int moved = 0;
  for (int i = 0; i != 3; ++i) {
    tasklet(sliced, [&moved] {
      int local;
      int* const before = &local;
      asm volatile("" ::"r"(before) : "memory");
      for (int round = 0; round != 5; ++round) {
        schedule();
        int* now = &local;
        asm volatile("" : "+r"(now)::"memory");
        moved += now != before;
      }
    });
  }
  run();
  EXPECT_EQ(moved, 0);
}

void descend(int levels, std::vector<int>& order) {
  std::array<char, 3000> frame;
  std::memset(frame.data(), levels, frame.size());
  if (levels == 0) {
    schedule();
  } else {
    descend(levels - 1, order);
  }
  for (const char c : frame) {
    if (c != levels) throw std::logic_error("a frame was overwritten");
  }
  order.push_back(levels);
}

TEST_F(slicing, deep_stacks_and_shallow_ones_take_turns) {
  std::vector<std::vector<int>> orders(4);
  for (std::size_t i = 0; i != orders.size(); ++i) {
    tasklet(sliced, [&orders, i] {
      for (int round = 0; round != 3; ++round) descend(static_cast<int>(i * 10), orders[i]);
    });
  }
  run();
  for (std::size_t i = 0; i != orders.size(); ++i) {
    std::vector<int> once(i * 10 + 1);
    std::iota(once.begin(), once.end(), 0);
    std::vector<int> expected;
    for (int round = 0; round != 3; ++round) expected.insert(expected.end(), once.begin(), once.end());
    EXPECT_EQ(orders[i], expected);
  }
}

TEST_F(slicing, exception_is_thrown_through_frames_that_were_away) {
  std::vector<std::string> caught;
  for (const char* name : {"a", "b", "c"}) {
    tasklet(sliced, [&caught, name] {
      try {
        std::string text = name;
        std::vector<int> order;
        descend(5, order);
        throw std::runtime_error(text);
      } catch (const std::runtime_error& e) {
        schedule();  // the exception is in flight while the stack is away
        caught.emplace_back(e.what());
        try {
          throw;
        } catch (const std::runtime_error& again) {
          schedule();
          caught.emplace_back(again.what());
        }
      }
    });
  }
  run();
  EXPECT_EQ(caught, (std::vector<std::string>{"a", "b", "c", "a", "b", "c"}));
}

TEST_F(slicing, one_that_is_away_is_killed_and_its_destructors_run) {
  int destroyed = 0;
  std::vector<tasklet> all;
  for (int i = 0; i != 3; ++i) {
    all.emplace_back(sliced, [&destroyed] {
      const std::shared_ptr<int> guard(nullptr, [&destroyed](int*) { ++destroyed; });
      schedule_remove();
    });
  }
  run();
  all[0].kill();
  EXPECT_EQ(destroyed, 1);
  all.clear();  // the last handles
  EXPECT_EQ(destroyed, 3);
}

TEST_F(slicing, one_that_kills_another_of_its_slot_goes_on_in_place) {
  std::string order;
  tasklet victim(sliced, [&order] {
    try {
      schedule_remove();
    } catch (...) {
      order += "victim ";
      throw;
    }
  });
  tasklet(sliced, [&order, &victim] {
    std::string mine = "killer ";
    schedule();
    victim.kill();
    order += mine;
  });
  run();
  EXPECT_EQ(order, "victim killer ");
}

TEST_F(slicing, values_go_through_channels_from_slice_to_slice) {
  channel<std::string> c;
  std::vector<std::string> got;
  tasklet(sliced, [&] {
    for (int i = 0; i != 10; ++i) c.send("a value that is too long to be kept in place " + std::to_string(i));
  });
  tasklet(sliced, [&] {
    for (int i = 0; i != 10; ++i) got.push_back(c.receive());
  });
  run();
  ASSERT_EQ(got.size(), 10u);
  for (int i = 0; i != 10; ++i) {
    EXPECT_EQ(got[static_cast<std::size_t>(i)], "a value that is too long to be kept in place " + std::to_string(i));
  }
}

TEST_F(slicing, tasklet_is_set_up_again_after_it_has_ended_away_from_home) {
  int lives = 0;
  tasklet t(sliced, [&] {
    schedule();
    ++lives;
  });
  tasklet(sliced, [] { schedule(); });
  run();
  t.bind([&] { lives += 10; });
  t.setup();
  run();
  EXPECT_EQ(lives, 11);
}

TEST_F(slicing, whoever_shares_the_slot_with_one_can_ask_whether_it_is_restorable) {
  const tasklet parked(sliced, [] { schedule_remove(); });
  int answers = 0;
  tasklet(sliced, [&answers, parked] {
    schedule();
    std::array<char, 1000> mine;
    mine.fill('x');
    answers += parked.restorable();
    for (const char c : mine) answers += c != 'x';
  });
  run();
  EXPECT_EQ(answers, 1);
}

TEST_F(slicing, channel_on_a_sliced_stack_is_refused_where_it_is_first_used) {
  std::string refusal;
  tasklet(sliced, [&refusal] {
    channel<int> local;
    try {
      local.receive();
    } catch (const stackless::state_error& e) {
      refusal = e.what();
    }
    stackless::mutex also_local;
    EXPECT_THROW(also_local.lock(), stackless::state_error);
    const auto in_the_heap = stackless::heap::make<channel<int>>();
    EXPECT_FALSE(in_the_heap->try_receive());
  });
  tasklet(own, [] {
    channel<int> local;
    EXPECT_FALSE(local.try_receive());
  });
  run();
  EXPECT_NE(refusal.find("sliced stack"), std::string::npos) << refusal;
}

TEST_F(slicing, slots_are_used_in_turn_and_none_is_an_error) {
  EXPECT_THROW(stackless::share_slots({.count = 0}), stackless::error);
  stackless::share_slots({.count = 2});
  const tasklet a(sliced, [] {}), b(sliced, [] {}), c(sliced, [] {});
  EXPECT_NE(slot_of(a), slot_of(b));
  EXPECT_EQ(slot_of(a), slot_of(c));
  const tasklet alone(own, [] {});
  EXPECT_NE(slot_of(alone), slot_of(a));
  EXPECT_NE(slot_of(alone), slot_of(b));
  run();
}

TEST_F(slicing, default_kind_is_what_tasklets_without_options_get) {
  stackless::share_slots({.count = 1});
  const auto before = stackless::default_options();
  stackless::default_options(sliced);
  const tasklet a([] {}), b = tasklet::bound([] {}), c(own, [] {});
  tasklet d;
  d.bind([] {}).setup();
  stackless::default_options(before);
  EXPECT_EQ(slot_of(a), slot_of(b));
  EXPECT_EQ(slot_of(a), slot_of(d));
  EXPECT_NE(slot_of(a), slot_of(c));
  run();
}

}  // namespace
