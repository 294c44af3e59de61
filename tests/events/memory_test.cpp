// Where what waiting needs lies: nothing of a loop in memory that a snapshot could carry. Who gets none is told.

#include <cstdlib>
#include <new>
#include <stackless/memory_error.hpp>
#include <stackless/snapshot.hpp>
#include <thread>

#include "tests/core/no_more_memory.hpp"
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
  ended = 0;
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

#if STACKLESS_CAN_BE_REFUSED_MEMORY
/// While one lives, it has all that malloc could give.
class no_more_of_malloc {
 public:
  no_more_of_malloc() {
    // What was freed is kept by size.
    for (std::size_t size = 1 << 16; size >= sizeof(block); size = size > 2048 ? size / 2 : size - 16) {
      while (void* more = std::malloc(size)) all_ = new (more) block{all_};
    }
  }
  ~no_more_of_malloc() {
    while (all_ != nullptr) std::free(std::exchange(all_, all_->next));
  }
  no_more_of_malloc(const no_more_of_malloc&) = delete;
  no_more_of_malloc& operator=(const no_more_of_malloc&) = delete;

 private:
  struct block {
    block* next;
  };

  no_more_memory from_the_kernel_;
  block* all_ = nullptr;
};

TEST_F(memory_of_events, who_gets_no_memory_to_wait_is_told_and_may_wait_later) {
  sleep_for(1ms);  // there is a loop from now on
  bool told = false;
  {
    const no_more_of_malloc from_now_on;
    try {
      sleep_for(long_time);
    } catch (const stackless::memory_error&) {
      told = true;
    }
  }
  EXPECT_TRUE(told);
  sleep_for(1ms);
}
#endif

}  // namespace
