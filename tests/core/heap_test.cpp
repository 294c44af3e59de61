#include "core/heap.hpp"

#include <gtest/gtest.h>

#include <cstring>
#include <memory_resource>
#include <random>
#include <string>
#include <vector>

#include "core/extents.hpp"
#include "tests/core/heap_helpers.hpp"

namespace {

namespace heap = stackless::heap;
namespace region = stackless::arch::region;
using stackless::cell_pool;
using stackless::memory_error;
using stackless::span;
using stackless::span_shape;
using stackless::arch::granule_size;

const std::size_t sizes[] = {0,     1,     15,    16,    17,    48,      127,     128,
                             129,   255,   256,   1000,  4095,  4096,    10000,   32767,
                             32768, 32769, 65535, 65536, 65537, 1 << 20, 70 << 20};

TEST(heap, start_interior_and_one_past_the_end_lead_to_the_block) {
  for (const std::size_t size : sizes) {
    void* const block = heap::allocate(size);
    const std::uintptr_t begin = word(block);
    EXPECT_EQ(begin % 16, 0u);
    for (const std::uintptr_t into : {begin, begin + size / 2, begin + size}) {
      const heap::block found = heap::find(into);
      ASSERT_TRUE(found) << size;
      EXPECT_EQ(found.begin, begin) << size;
      EXPECT_GT(found.size, size);
    }
    EXPECT_NE(heap::find(begin - 1).begin, begin);
    EXPECT_GE(heap::usable_size(block), size);
    EXPECT_LT(heap::usable_size(block), heap::find(begin).size)
        << "one past what may be used is the block's still";
    heap::deallocate(block);
    EXPECT_FALSE(heap::find(begin)) << size;
  }
}

TEST(heap, any_word_may_be_asked) {
  void* const block = heap::allocate(48);
  int local = 0;
  for (const std::uintptr_t any : {std::uintptr_t{0}, std::uintptr_t{1}, ~std::uintptr_t{0}, word(&local),
                                   word(&region::directory), stackless::arch::region_end}) {
    EXPECT_FALSE(heap::find(any));
  }
  const span& s = *heap::find(word(block)).of;
  EXPECT_FALSE(heap::find(s.begin - 1).of == &s);
  EXPECT_FALSE(heap::find(s.end()).of == &s);
  heap::deallocate(block);
}

TEST(heap, tail_of_a_span_is_no_block) {
  void* const block = heap::allocate(47);
  const span& s = *heap::find(word(block)).of;
  ASSERT_NE(s.size % s.cell_size, 0u);
  const std::uintptr_t tail = s.begin + s.capacity * s.cell_size;
  ASSERT_LT(tail, s.end());
  EXPECT_FALSE(heap::find(tail));
  EXPECT_FALSE(heap::find(s.end() - 1));
  EXPECT_EQ(s.index_of(tail - 1), s.capacity - 1);
  heap::deallocate(block);
}

TEST(heap, every_word_of_a_span_is_told_its_cell) {
  for (const std::size_t size : {15, 47, 111, 159, 1000, 1279, 5000, 28000, 32000}) {
    void* const block = heap::allocate(size);
    const span& s = *heap::find(word(block)).of;
    for (std::size_t offset = 0; offset < s.size; ++offset) {
      ASSERT_EQ(s.index_of(s.begin + offset), offset / s.cell_size) << s.cell_size << " " << offset;
    }
    heap::deallocate(block);
  }
}

TEST(heap, blocks_are_zero_however_often_they_were_used) {
  for (const std::size_t size : sizes) {
    for (int again = 0; again < 3; ++again) {
      void* const block = heap::allocate(size);
      const std::size_t usable = heap::usable_size(block);
      ASSERT_TRUE(is_zero(block, usable)) << size;
      std::memset(block, 0xa5, usable);
      heap::deallocate(block);
    }
  }
}

TEST(heap, dead_cells_are_not_found_and_hold_nothing) {
  std::vector<void*> blocks;
  for (int i = 0; i < 5000; ++i) blocks.push_back(std::memset(heap::allocate(100), i | 1, 100));
  for (std::size_t i = 0; i < blocks.size(); i += 2) {
    heap::deallocate(blocks[i]);
    EXPECT_FALSE(heap::find(word(blocks[i]) + 50));
    if (region::find(word(blocks[i])) != nullptr) {
      EXPECT_TRUE(is_zero(blocks[i], 100));
    }
  }
  for (std::size_t i = 1; i < blocks.size(); i += 2) {
    EXPECT_EQ(heap::find(word(blocks[i]) + 99).begin, word(blocks[i]));
    heap::deallocate(blocks[i]);
  }
}

TEST(heap, alignment_up_to_a_granule) {
  for (std::size_t alignment = 1; alignment <= granule_size; alignment *= 2) {
    for (const std::size_t size : sizes) {
      void* const block = heap::allocate(size, alignment);
      EXPECT_EQ(word(block) % alignment, 0u) << size << " " << alignment;
      EXPECT_GT(heap::find(word(block)).size, size);
      heap::deallocate(block);
    }
  }
  EXPECT_THROW((void)heap::allocate(1, 2 * granule_size), memory_error);
}

TEST(heap, block_larger_than_any_is_refused_by_size) {
  for (const std::size_t size : {stackless::arch::largest_run, ~std::size_t{0}, ~std::size_t{0} - 15}) {
    try {
      (void)heap::allocate(size);
      FAIL();
    } catch (const memory_error& error) {
      EXPECT_NE(std::string(error.what()).find(std::to_string(stackless::arch::largest_run)),
                std::string::npos);
    }
  }
}

TEST(heap, random_traffic_keeps_blocks_apart) {
  std::mt19937 random(1);
  struct held {
    unsigned char* bytes;
    std::size_t size;
    unsigned char mark;
  };
  std::vector<held> blocks;
  for (int step = 0; step < 60'000; ++step) {
    if (blocks.size() < 500 || random() % 2 == 0) {
      const std::size_t size = std::size_t{1} << random() % 12 | random() % 64;
      auto* const bytes = static_cast<unsigned char*>(heap::allocate(size));
      const auto mark = static_cast<unsigned char>(random());
      std::memset(bytes, mark, size);
      blocks.push_back({bytes, size, mark});
    } else {
      std::swap(blocks[random() % blocks.size()], blocks.back());
      const held last = blocks.back();
      blocks.pop_back();
      ASSERT_EQ(last.bytes[0], last.mark);
      ASSERT_EQ(std::memcmp(last.bytes, last.bytes + 1, last.size - 1), 0);
      heap::deallocate(last.bytes);
    }
  }
  for (const held& each : blocks) heap::deallocate(each.bytes);
}

TEST(heap_death, what_is_no_live_block_is_rejected_by_address) {
  int local = 0;
  EXPECT_DEATH(heap::deallocate(&local), "stackless: heap: 0x[0-9a-f]+ was given back, but it is no block");
  char* const block = static_cast<char*>(heap::allocate(100));
  void* const neighbour = heap::allocate(100);  // keeps the span in its place
  EXPECT_DEATH(heap::deallocate(block + 16), "it lies 16 bytes into the block at 0x");
  EXPECT_DEATH((heap::deallocate(block), heap::deallocate(block)), "given back twice");
  heap::deallocate(block);
  heap::deallocate(neighbour);
  char* const large = static_cast<char*>(heap::allocate(1 << 20));
  EXPECT_DEATH(heap::deallocate(large + 4096), "it lies 4096 bytes into");
  EXPECT_DEATH((heap::deallocate(large), heap::deallocate(large)), "it is no block");
  heap::deallocate(large);
  heap::deallocate(nullptr);
}

TEST(heap, pmr_containers_live_in_it) {
  std::pmr::vector<int> numbers(1000, 7, heap::memory_resource());
  EXPECT_TRUE(heap::find(word(numbers.data() + 500)));
  EXPECT_TRUE(*heap::memory_resource() == *heap::memory_resource());
  EXPECT_FALSE(*heap::memory_resource() == *std::pmr::new_delete_resource());
}

TEST(heap, claim_is_refused_while_something_lives_there_and_accepted_after) {
  for (const std::size_t size : {48, 20'000, 300'000}) {
    void* const block = heap::allocate(size);
    const std::uintptr_t begin = word(block);
    const span_shape home = heap::find(begin).of->shape();
    EXPECT_FALSE(heap::claim(begin, home)) << size;
    heap::deallocate(block);
    ASSERT_TRUE(heap::claim(begin, home)) << size;
    EXPECT_EQ(heap::find(begin + size).begin, begin);
    EXPECT_EQ(heap::find(begin).of->shape(), home);
    EXPECT_TRUE(is_zero(block, size));
    std::memset(block, 1, size);
    EXPECT_FALSE(heap::claim(begin, home)) << size;
    heap::deallocate(block);
    EXPECT_FALSE(heap::find(begin)) << size;
  }
}

TEST(heap, claim_of_a_home_elsewhere_is_left_alone_by_allocate) {
  const std::uintptr_t begin = stackless::arch::region_end - 5 * stackless::arch::chunk_size;
  const span_shape home = {begin, granule_size, 64};
  ASSERT_TRUE(heap::claim(begin + 64 * 3, home));
  ASSERT_TRUE(heap::claim(begin + 64 * 5, home));
  std::vector<void*> blocks;
  for (int i = 0; i < 3000; ++i) {
    blocks.push_back(heap::allocate(48));
    ASSERT_NE(heap::find(word(blocks.back())).of->begin, begin);
  }
  for (void* each : blocks) heap::deallocate(each);
  EXPECT_FALSE(heap::find(begin + 64 * 4));
  EXPECT_FALSE(heap::claim(begin + 1024, {begin, granule_size, 128})) << "another shape lives there";
  heap::deallocate(reinterpret_cast<void*>(begin + 64 * 3));
  heap::deallocate(reinterpret_cast<void*>(begin + 64 * 5));
  EXPECT_EQ(region::find(begin), nullptr) << "the last cell gone, the span goes too";
  ASSERT_TRUE(heap::claim(begin + 1024, {begin, granule_size, 128}));
  heap::deallocate(reinterpret_cast<void*>(begin + 1024));
}

TEST(heap, claim_with_a_made_up_shape_is_refused) {
  const std::uintptr_t begin = stackless::arch::region_end - 7 * stackless::arch::chunk_size;
  EXPECT_FALSE(heap::claim(begin, {begin, granule_size, 0}));
  EXPECT_FALSE(heap::claim(begin, {begin, granule_size, 24}));
  EXPECT_FALSE(heap::claim(begin, {begin, 2 * granule_size, 64}));
  EXPECT_FALSE(heap::claim(begin + 8, {begin, granule_size, 64}));
  EXPECT_FALSE(heap::claim(begin - 64, {begin, granule_size, 64}));
  EXPECT_FALSE(heap::claim(begin + granule_size, {begin, granule_size, 64}));
  EXPECT_FALSE(heap::claim(begin + 65520, {begin, granule_size, 48})) << "the tail";
  EXPECT_FALSE(heap::claim(begin + 64, {begin + 64, granule_size, 64}));
  EXPECT_FALSE(heap::claim(begin, {begin, ~std::size_t{0}, ~std::size_t{0}}));
  EXPECT_FALSE(heap::claim(64, {64, granule_size, 64}));
  EXPECT_FALSE(heap::claim(granule_size, {granule_size, granule_size, granule_size})) << "outside the region";
  EXPECT_FALSE(heap::claim(begin, {begin, granule_size * 2 - 1, granule_size * 2 - 1}));
  EXPECT_EQ(region::find_first(begin, stackless::arch::chunk_size), nullptr);
}

TEST(cell_pool, spans_without_live_cells_go_back_but_for_one) {
  static constinit cell_pool pool(stackless::extent_kind::records, 192, 1, stackless::cache_index::none);
  std::vector<void*> cells;
  std::vector<std::uintptr_t> spans;
  for (int i = 0; i < 3000; ++i) {
    cells.push_back(pool.allocate());
    EXPECT_EQ(word(cells.back()) % 64, 0u);
    EXPECT_FALSE(heap::find(word(cells.back()))) << "records are no blocks of the heap";
    const std::uintptr_t begin = region::find(word(cells.back()))->begin;
    if (spans.empty() || spans.back() != begin) spans.push_back(begin);
  }
  EXPECT_GT(spans.size(), 5u);
  for (void* each : cells) {
    span& of = *static_cast<span*>(region::find(word(each)));
    EXPECT_TRUE(pool.release(of, of.index_of(word(each))));
  }
  int left = 0;
  for (const std::uintptr_t begin : spans) {
    const stackless::arch::extent* const there = region::find(begin);
    left += there != nullptr && there->kind == stackless::extent_kind::records;
  }
  EXPECT_EQ(left, 1);
}

TEST(cell_pool, idle_span_makes_way_for_a_home_that_overlaps_it) {
  static constinit cell_pool pool(stackless::extent_kind::records, 192, 1, stackless::cache_index::none);
  void* const cell = pool.allocate();
  span& of = *static_cast<span*>(region::find(word(cell)));
  const std::uintptr_t begin = of.begin;
  const span_shape home = {begin, granule_size, 64};
  EXPECT_FALSE(heap::claim(begin, home)) << "a cell is live there";
  EXPECT_TRUE(pool.release(of, of.index_of(word(cell))));
  ASSERT_EQ(region::find(begin), &of) << "kept for the next cell";

  ASSERT_TRUE(heap::claim(begin, home));
  void* const elsewhere = pool.allocate();
  span& fresh = *static_cast<span*>(region::find(word(elsewhere)));
  EXPECT_NE(fresh.begin, begin);
  EXPECT_TRUE(pool.release(fresh, fresh.index_of(word(elsewhere))));
  heap::deallocate(reinterpret_cast<void*>(begin));
  EXPECT_EQ(region::find(begin), nullptr);
}

TEST(heap_fork, child_makes_a_new_start_and_may_free_what_it_inherited) {
  std::vector<void*> inherited;
  for (int i = 0; i < 3000; ++i) inherited.push_back(heap::allocate(100));
  EXPECT_EQ(in_child([&] {
              for (int round = 0; round < 3000; ++round) {
                if (chunk_of(heap::allocate(100)) == chunk_of(inherited[0])) return 1;
              }
              for (void* each : inherited) heap::deallocate(each);
              return heap::find(word(inherited[7])) ? 2 : 0;
            }),
            0);
  for (void* each : inherited) heap::deallocate(each);
}

}  // namespace
