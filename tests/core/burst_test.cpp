// Many tasklets at once, and what they leave behind.

#include <gtest/gtest.h>

#include <stackless/channel.hpp>
#include <stackless/scheduler.hpp>
#include <stackless/tasklet.hpp>

#include "tests/guards.hpp"
#include "tests/resident.hpp"

// Sanitizers keep memory of their own for each stack, and emulators for each guard.
#if !STACKLESS_ASAN && !STACKLESS_TSAN && !STACKLESS_EMULATED
namespace {

TEST(burst, memory_of_the_stacks_is_given_back_when_it_is_over) {
  const int tasklets = guards_are_free() ? 100'000 : 20'000;
  constexpr std::size_t used_by_each = 5'000;
  const std::size_t before = resident();
  stackless::channel<int> gate;
  int ended = 0;
  for (int i = 0; i != tasklets; ++i) {
    stackless::tasklet({}, [&] {
      volatile char block[used_by_each];
      for (volatile char& each : block) each = 1;
      ended += gate.receive();
    });
  }
  stackless::run();
  const std::size_t during = resident() - before;
  EXPECT_GE(during, tasklets * used_by_each);
  for (int i = 0; i != tasklets; ++i) gate.send(1);
  stackless::run();
  EXPECT_EQ(ended, tasklets);
  const std::size_t after = resident() - before;
  EXPECT_LT(after, during / 10);
}

}  // namespace
#endif
