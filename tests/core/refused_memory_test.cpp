// What is left as it was when the kernel refuses memory, or has given it to somebody else.

#include <gtest/gtest.h>
#include <sys/mman.h>

#include <cstring>
#include <stackless/scheduler.hpp>
#include <stackless/tasklet.hpp>
#include <thread>
#include <vector>

#include "arch/metadata.hpp"
#include "core/heap.hpp"
#include "core/slot.hpp"
#include "tests/core/no_more_memory.hpp"
#include "tests/core/refused_calls.hpp"

#if STACKLESS_CAN_BE_REFUSED_MEMORY
namespace {

namespace arch = stackless::arch;
namespace heap = stackless::heap;
namespace region = stackless::arch::region;
namespace slots = stackless::slots;
using stackless::memory_error;
using stackless::tasklet;

constexpr std::size_t small = 20'000;
constexpr std::size_t large = 100'000;

TEST(refused_memory, tasklet_that_gets_no_stack_is_not_made) {
  std::size_t ran = 0;
  const auto body = [&] { ++ran; };
  std::vector<tasklet> made;
  const stackless::tasklet_options own{.stack = stackless::stack::own};
  made.emplace_back(own, body);
  {
    const no_more_memory from_now_on;
    EXPECT_THROW(for (;;) made.emplace_back(own, body), memory_error);
  }
  EXPECT_EQ(stackless::runcount(), made.size() + 1);
  made.emplace_back(body);
  stackless::run();
  EXPECT_EQ(ran, made.size());
}

TEST(refused_memory, block_that_is_refused_costs_no_other) {
  for (const std::size_t size : {small, large}) {
    std::vector<void*> blocks = {heap::allocate(size)};
    {
      const no_more_memory from_now_on;
      EXPECT_THROW(for (;;) blocks.push_back(heap::allocate(size)), memory_error) << size;
    }
    blocks.push_back(heap::allocate(size));
    for (void* each : blocks) std::memset(each, 1, size);
    for (void* each : blocks) heap::deallocate(each);
  }
}

TEST(refused_memory, block_without_a_descriptor_is_refused) {
  for (const std::size_t size : {small, large}) {
    std::vector<void*> blocks;
    {
      const no_more_memory from_now_on;
      while (arch::metadata::allocate(16) != nullptr) continue;
      EXPECT_THROW(for (;;) blocks.push_back(heap::allocate(size)), memory_error) << size;
    }
    blocks.push_back(heap::allocate(size));
    for (void* each : blocks) heap::deallocate(each);
  }
}

/// An address that nothing has been placed near.
std::uintptr_t remote_home() {
  std::size_t chunk = region::chunk_count - 1;
  while (region::directory[chunk] != nullptr) --chunk;
  return arch::region_begin + chunk * arch::chunk_size + arch::chunk_size / 2;
}

TEST(refused_memory, home_that_is_refused_can_be_claimed_later) {
  const std::uintptr_t home = remote_home();
  const stackless::span_shape of_cells = {home, arch::granule_size, 64};
  const stackless::span_shape of_one = {home, 2 * arch::granule_size, 2 * arch::granule_size};
  ASSERT_NE(arch::metadata::allocate(16), nullptr);  // and there is more, to describe the homes with
  {
    const no_more_memory from_now_on;
    EXPECT_THROW(heap::claim(home, of_cells), memory_error);
    EXPECT_THROW(heap::claim(home, of_one), memory_error);
    EXPECT_THROW(slots::acquire_at(home, 0), memory_error);
  }
  EXPECT_EQ(region::find(home), nullptr);
  for (const stackless::span_shape& shape : {of_cells, of_one}) {
    ASSERT_TRUE(heap::claim(home, shape)) << shape.cell_size;
    heap::deallocate(reinterpret_cast<void*>(home));
  }
  stackless::slot* const s = slots::acquire_at(home, 0);
  ASSERT_NE(s, nullptr);
  slots::release(s);
}

TEST(refused_memory, home_where_the_program_has_something_else_is_not_to_be_had_until_that_is_gone) {
  const std::uintptr_t home = remote_home();
  const stackless::span_shape of_cells = {home, arch::granule_size, 64};
  const stackless::span_shape of_one = {home, 2 * arch::granule_size, 2 * arch::granule_size};
  void* const foreign = mmap(reinterpret_cast<void*>(home), arch::granule_size, PROT_READ,
                             MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
  ASSERT_EQ(foreign, reinterpret_cast<void*>(home));
  EXPECT_FALSE(heap::claim(home, of_cells));
  EXPECT_FALSE(heap::claim(home, of_one));
  EXPECT_EQ(slots::acquire_at(home, 2), nullptr);
  munmap(foreign, arch::granule_size);
  ASSERT_TRUE(heap::claim(home, of_one));
  heap::deallocate(foreign);
}

TEST(refused_memory, stack_that_gets_no_guard_is_not_used) {
  slots::release(slots::acquire(2));  // asks the kernel, once for all threads, how it guards
  std::vector<stackless::slot*> had;
  std::thread([&] {
    ASSERT_TRUE(refuse_call(SYS_madvise));
    ASSERT_TRUE(refuse_call(SYS_mprotect));
    EXPECT_THROW(for (;;) had.push_back(slots::acquire(2)), memory_error);
  }).join();
  had.push_back(slots::acquire(2));
  for (stackless::slot* each : had) slots::release(each);
}

}  // namespace
#endif
