// Where what waiting needs lies: nothing of a loop in memory that a snapshot could carry.

#include <cstdlib>
#include <new>
#include <stackless/snapshot.hpp>
#include <thread>

#include "tests/events/waiting.hpp"

namespace {

thread_local int allocations = 0;

}  // namespace

// Every other form comes down to these. Inlined, gcc would find free() in the place of delete.
[[gnu::noinline]] void* operator new(std::size_t bytes) {
  ++allocations;
  if (void* block = std::malloc(bytes)) return block;
  throw std::bad_alloc();
}
[[gnu::noinline]] void operator delete(void* block) noexcept { std::free(block); }
[[gnu::noinline]] void operator delete(void* block, std::size_t) noexcept { std::free(block); }

namespace {

class memory_of_events : public event_case {};

TEST_F(memory_of_events, no_operator_new_is_called_to_wait) {
  std::thread([] {
    a_pipe p;
    const int before = allocations;
    {
      const descriptor d(p.first());
      const timeout limit(long_time);
      d.wait_readable(1ms);
      sleep_for(1ms);
      wait_writable(p.second());
    }
    EXPECT_EQ(allocations, before);
  }).join();
}

TEST_F(memory_of_events, sleeper_is_saved_and_comes_back_blocked) {
  static int ended;
  tasklet t([] {
    try {
      sleep_for(long_time);
    } catch (const TaskletExit&) {
      ++ended;
    }
  });
  schedule();
  const std::vector<std::byte> saved = stackless::dumps(t);
  t.kill();
  t = tasklet();
  tasklet back = stackless::loads(saved);
  EXPECT_TRUE(back.blocked());
  back.kill();
  EXPECT_EQ(ended, 2);
}

}  // namespace
