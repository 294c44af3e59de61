// What is left as it was when the kernel refuses memory.

#include <gtest/gtest.h>

#include <cstring>
#include <stackless/scheduler.hpp>
#include <stackless/tasklet.hpp>
#include <vector>

#include "arch/metadata.hpp"
#include "core/heap.hpp"
#include "core/slot.hpp"
#include "tests/core/no_more_memory.hpp"

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
  made.emplace_back(body);
  {
    const no_more_memory from_now_on;
    EXPECT_THROW(for (;;) made.emplace_back(body), memory_error);
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

}  // namespace
#endif
