// Tasklets with stacks of other sizes than the default come back with them.

#include <gtest/gtest.h>

#include <optional>
#include <stackless/stackless.hpp>
#include <string>
#include <vector>

#include "serialize/image.hpp"
#include "serialize/reader.hpp"
#include "serialize/writer.hpp"
#include "tests/serialize/from_child.hpp"

namespace {

namespace snapshot = stackless::snapshot;
using stackless::schedule_remove;
using stackless::snapshot_error;
using stackless::tasklet;

constexpr std::size_t small = 32 << 10, large = 3 << 20;

class stack_sizes : public testing::Test {
 protected:
  void TearDown() override { EXPECT_EQ(stackless::runcount(), 1u); }
};

int ended = 0;

/// Fills most of its stack before and after it pauses.
tasklet parked(std::size_t size) {
  tasklet t({.stack_size = size}, [size] {
    const auto fill = [](std::size_t bytes) {
      auto* const block = static_cast<volatile char*>(__builtin_alloca(bytes));
      for (std::size_t i = 0; i != bytes; ++i) block[i] = 1;
      schedule_remove();
      for (std::size_t i = 0; i != bytes; ++i) ended += block[i] != 1;
    };
    fill(size / 2);
    fill(size / 2);
    ++ended;
  });
  stackless::run();
  return t;
}

TEST_F(stack_sizes, parked_tasklet_comes_back_to_its_size_in_another_process_and_in_the_same) {
  for (const std::size_t size : {small, large}) {
    std::optional<tasklet> t = brought_back([=] { return parked(size); });
    const std::size_t room = t->stack_size();
    EXPECT_GE(room, size);
    EXPECT_LT(room, 3 * size);
    t->run();
    const auto bytes = stackless::dumps(*t);
    t.reset();
    t = stackless::loads(bytes);
    EXPECT_EQ(t->stack_size(), room);
    ended = 0;
    t->run();
    EXPECT_EQ(ended, 1);
    EXPECT_FALSE(t->alive());
  }
}

TEST_F(stack_sizes, one_that_has_not_started_or_has_ended_keeps_its_size) {
  tasklet fresh = brought_back([] { return tasklet::bound({.stack_size = large}, [] {}); });
  EXPECT_GE(fresh.stack_size(), large);
  fresh.run();
  EXPECT_FALSE(fresh.alive());

  tasklet dead = brought_back([] {
    tasklet t({.stack_size = large}, [] {});
    stackless::run();
    return t;
  });
  EXPECT_GE(dead.stack_size(), large);
  dead.bind([] {}).setup();
  EXPECT_GE(dead.stack_size(), large);
  stackless::run();
}

TEST_F(stack_sizes, what_one_that_came_back_has_used_begins_with_what_it_came_with) {
  const auto keeping = [](std::size_t bytes) {
    tasklet t({.stack_size = large, .measure_stack = true}, [bytes] {
      volatile char kept[100'000];
      asm volatile("" ::"r"(kept) : "memory");  // else clang keeps only what is used of it
      kept[0] = 1;
      {
        auto* const block = static_cast<volatile char*>(__builtin_alloca(bytes));
        for (std::size_t i = 0; i != bytes; ++i) block[i] = 1;
      }
      schedule_remove();
      kept[1] = kept[0];
    });
    stackless::run();
    return t;
  };
  // So that a stack with leftovers is there to be used.
  keeping(large / 2).kill();
  tasklet t = brought_back([&] { return keeping(1000); });
  EXPECT_GE(t.stack_high_water(), 101'000u);
  EXPECT_LT(t.stack_high_water(), 150'000u);
  t.run();
  EXPECT_FALSE(t.alive());
  EXPECT_GE(t.stack_high_water(), 101'000u);
}

TEST_F(stack_sizes, size_that_no_slot_has_is_refused) {
  const tasklet t = tasklet::bound([] {});
  snapshot::image image = snapshot::read(stackless::dumps(t), "<memory>");
  for (const std::uint64_t size : {std::uint64_t{0}, std::uint64_t{0x3'0000}, std::uint64_t{1} << 40}) {
    image.tasklets[0].slot_size = size;
    std::pmr::vector<std::byte> file(snapshot::scratch());
    snapshot::write(image, file);
    try {
      stackless::loads(file);
      ADD_FAILURE() << "was not refused: " << size;
    } catch (const snapshot_error& e) {
      EXPECT_EQ(e.reason(), snapshot_error::kind::damaged);
      EXPECT_NE(std::string(e.what()).find("a stack slot of " + std::to_string(size) + " bytes"), std::string::npos)
          << e.what();
    }
  }
}

}  // namespace
