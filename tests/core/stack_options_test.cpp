// Stacks of the sizes that tasklets are given.

#include <gtest/gtest.h>

#include <cstring>
#include <optional>
#include <stackless/error.hpp>
#include <stackless/scheduler.hpp>
#include <stackless/tasklet.hpp>
#include <stackless/tasklet_options.hpp>
#include <string>
#include <thread>

namespace {

using stackless::tasklet;
using stackless::tasklet_options;

constexpr std::size_t KiB = 1024, MiB = 1024 * KiB;
constexpr std::size_t unless_told = 160 * KiB;

class stack_options : public testing::Test {
 protected:
  void TearDown() override {
    stackless::default_options({});
    EXPECT_EQ(stackless::runcount(), 1u);
  }
};

/// Uses so many bytes of the stack, and all of them.
[[gnu::noinline]] std::size_t use(std::size_t bytes) {
  auto* const block = static_cast<volatile char*>(__builtin_alloca(bytes));
  for (std::size_t i = 0; i != bytes; ++i) block[i] = 1;
  return bytes;
}

// Frames of sanitizers are larger than what they hold.
constexpr std::size_t frames = STACKLESS_ASAN || STACKLESS_TSAN ? 16 * KiB : 4 * KiB;

TEST_F(stack_options, all_of_the_stack_that_was_asked_for_can_be_used) {
  for (const std::size_t asked : {32 * KiB, 64 * KiB, 100 * KiB, 256 * KiB, MiB, 8 * MiB + 1, 100 * MiB}) {
    std::size_t used = 0;
    const tasklet t({.stack_size = asked}, [&] { used = use(asked - frames); });
    EXPECT_GE(t.stack_size(), asked);
    stackless::run();
    EXPECT_EQ(used, asked - frames);
  }
}

TEST_F(stack_options, sizes_are_had_without_options_too) {
  const tasklet t([] {});
  EXPECT_GE(t.stack_size(), unless_told);
  EXPECT_LT(t.stack_size(), 256 * KiB);
  const tasklet like_it({}, [] {});
  EXPECT_LT(like_it.stack_size(), 256 * KiB);
  stackless::run();
}

TEST_F(stack_options, arguments_follow_the_options) {
  std::string told;
  const auto tell = [&](const std::string& a, int b) { told += a + std::to_string(b); };
  tasklet({.stack_size = 64 * KiB}, tell, "a", 1);
  const tasklet_options options{.stack_size = MiB};
  tasklet bound = tasklet::bound(options, tell, "b", 2);
  EXPECT_TRUE(bound.paused());
  EXPECT_GE(bound.stack_size(), MiB);
  stackless::run();
  EXPECT_EQ(told, "a1");
  bound.insert();
  stackless::run();
  EXPECT_EQ(told, "a1b2");
}

TEST_F(stack_options, size_stays_when_the_tasklet_is_bound_and_set_up_again) {
  tasklet t({.stack_size = 2 * MiB}, [] {});
  stackless::run();
  EXPECT_FALSE(t.alive());
  EXPECT_GE(t.stack_size(), 2 * MiB) << "what it will have";
  std::size_t used = 0;
  t.bind([&] { used = use(2 * MiB - frames); }).setup();
  EXPECT_GE(t.stack_size(), 2 * MiB);
  stackless::run();
  EXPECT_EQ(used, 2 * MiB - frames);
}

TEST_F(stack_options, size_outside_of_the_bounds_is_refused_and_no_tasklet_is_made) {
  const auto refusal_of = [](std::size_t size) -> std::string {
    try {
      tasklet({.stack_size = size}, [] { FAIL() << "was made"; });
    } catch (const stackless::error& e) {
      EXPECT_EQ(stackless::runcount(), 1u);
      return e.what();
    }
    return "none";
  };
  EXPECT_NE(refusal_of(16 * KiB).find("no stack of 16384 bytes can be had (tasklet_options::stack_size): signals need at least"),
            std::string::npos);
  EXPECT_NE(refusal_of(2048 * MiB).find("no stack of 2147483648 bytes can be had (tasklet_options::stack_size): the largest has 2147"),
            std::string::npos);
  EXPECT_NE(refusal_of(~std::size_t{0}).find("the largest has 2147"), std::string::npos);
}

TEST_F(stack_options, default_is_that_of_the_thread) {
  stackless::default_options({.stack_size = MiB});
  EXPECT_EQ(stackless::default_options().stack_size, MiB);
  const tasklet large([] {});
  EXPECT_GE(large.stack_size(), MiB);
  const tasklet as_told({.stack_size = 64 * KiB}, [] {});
  EXPECT_LT(as_told.stack_size(), 128 * KiB);
  const tasklet open({.stack_size = 0}, [] {});
  EXPECT_GE(open.stack_size(), MiB);
  std::thread([] {
    EXPECT_EQ(stackless::default_options().stack_size, 0u);
    const tasklet t([] {});
    EXPECT_LT(t.stack_size(), 256 * KiB);
    stackless::run();
  }).join();

  EXPECT_THROW(stackless::default_options({.stack_size = 1}), stackless::error);
  EXPECT_EQ(stackless::default_options().stack_size, MiB) << "as before";
  stackless::default_options({});
  const tasklet ordinary([] {});
  EXPECT_LT(ordinary.stack_size(), 256 * KiB);
  stackless::run();
}

TEST_F(stack_options, size_is_asked_of_tasklets_of_this_thread_that_have_a_stack_of_their_own) {
  EXPECT_THROW((void)stackless::main_tasklet().stack_size(), stackless::state_error);
  std::optional<tasklet> elsewhere;
  std::thread([&] { elsewhere = tasklet::bound([] {}); }).join();
  EXPECT_THROW((void)elsewhere->stack_size(), stackless::state_error);
  elsewhere->bind_thread();
  EXPECT_GE(elsewhere->stack_size(), unless_told);
}

}  // namespace
