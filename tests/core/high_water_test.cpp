// How much of its stack a tasklet has used.

#include <gtest/gtest.h>

#include <optional>
#include <stackless/error.hpp>
#include <stackless/scheduler.hpp>
#include <stackless/tasklet.hpp>
#include <thread>
#include <vector>

namespace {

using stackless::schedule;
using stackless::tasklet;

constexpr std::size_t KiB = 1024;
constexpr std::size_t page = 4 * KiB;

// What frames take beside what is put on them; those of sanitizers are larger.
constexpr std::size_t slack = STACKLESS_ASAN || STACKLESS_TSAN ? 16 * KiB : page;

[[gnu::noinline]] void use(std::size_t bytes) {
  auto* const block = static_cast<volatile char*>(__builtin_alloca(bytes));
  for (std::size_t i = 0; i != bytes; ++i) block[i] = 1;
}

class high_water : public testing::Test {
 protected:
  void TearDown() override {
    stackless::default_options({});
    EXPECT_EQ(stackless::runcount(), 1u);
  }
};

void expect_mark(const tasklet& t, std::size_t used) {
  EXPECT_GE(t.stack_high_water(), used);
  EXPECT_LE(t.stack_high_water(), used + slack + page);
  EXPECT_EQ(t.stack_high_water() % page, 0u);
}

TEST_F(high_water, is_what_was_used_most_and_not_what_is_used_now) {
  tasklet t({.measure_stack = true}, [] {
    use(20 * KiB);
    schedule();
    use(100 * KiB);
    schedule();
    use(50 * KiB);
  });
  expect_mark(t, 0);
  t.run();
  expect_mark(t, 20 * KiB);
  t.run();
  expect_mark(t, 100 * KiB);
  t.run();
  EXPECT_FALSE(t.alive());
  expect_mark(t, 100 * KiB);
}

TEST_F(high_water, tasklet_can_ask_for_its_own) {
  std::size_t before = 0, after = 0;
  tasklet({.stack_size = 1024 * KiB, .measure_stack = true}, [&] {
    before = stackless::current().stack_high_water();
    use(900 * KiB);
    after = stackless::current().stack_high_water();
  });
  stackless::run();
  EXPECT_LE(before, slack + page);
  EXPECT_GE(after, 900 * KiB);
  EXPECT_LE(after, 900 * KiB + slack + page);
}

TEST_F(high_water, what_others_left_on_the_stack_is_not_counted_if_it_is_measured) {
  tasklet([] { use(120 * KiB); });
  stackless::run();
  tasklet unmeasured([] { schedule(); });
  tasklet([] { use(120 * KiB); });
  stackless::run();
  tasklet measured({.measure_stack = true}, [] { schedule(); });
  measured.run();
  expect_mark(measured, 0);
  EXPECT_LE(unmeasured.stack_high_water(), unmeasured.stack_size());
  stackless::run();
  expect_mark(measured, 0);
  EXPECT_EQ(unmeasured.stack_high_water(), 0u) << "not known any more";
}

TEST_F(high_water, unmeasured_tasklet_has_used_no_more_than_is_told) {
  for (int i = 0; i != 3; ++i) {
    tasklet t([] {
      use(30 * KiB);
      schedule();
    });
    t.run();
    EXPECT_GE(t.stack_high_water(), 30 * KiB);
    t.run();
  }
}

TEST_F(high_water, each_life_has_its_own_and_the_option_stays) {
  tasklet t({.measure_stack = true}, [] { use(100 * KiB); });
  stackless::run();
  expect_mark(t, 100 * KiB);
  t.bind([] { use(10 * KiB); }).setup();
  stackless::run();
  expect_mark(t, 10 * KiB);
  t.bind([] {}).setup();
  t.kill();
  EXPECT_EQ(t.stack_high_water(), 0u) << "has not started";
}

TEST_F(high_water, all_of_a_thread_can_be_measured) {
  stackless::default_options({.stack_size = 512 * KiB, .measure_stack = true});
  EXPECT_TRUE(stackless::default_options().measure_stack);
  const tasklet t([] { use(400 * KiB); });
  stackless::run();
  expect_mark(t, 400 * KiB);
}

TEST_F(high_water, is_never_more_than_the_stack_has) {
  tasklet t({.measure_stack = true}, [] { use(stackless::current().stack_size() - slack); });
  const std::size_t size = t.stack_size();
  stackless::run();
  EXPECT_GE(t.stack_high_water(), size - slack);
  EXPECT_LE(t.stack_high_water(), size);
}

TEST_F(high_water, is_asked_of_tasklets_of_this_thread_that_have_a_stack_of_their_own) {
  EXPECT_THROW((void)stackless::main_tasklet().stack_high_water(), stackless::state_error);
  std::optional<tasklet> elsewhere;
  std::thread([&] { elsewhere = tasklet::bound([] {}); }).join();
  EXPECT_THROW((void)elsewhere->stack_high_water(), stackless::state_error);
  elsewhere->bind_thread();
  elsewhere->kill();
}

}  // namespace
