#include "core/slot.hpp"

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <algorithm>
#include <cstring>
#include <set>
#include <vector>

#include "arch/guard.hpp"

namespace {

namespace slots = stackless::slots;
using stackless::slot;
namespace guard = stackless::arch::guard;
namespace region = stackless::arch::region;

char* at(std::uintptr_t address) {
  return reinterpret_cast<char*>(address);
}

/// Of 256 KiB, and of the smallest.
constexpr unsigned ordinary = 2;
constexpr unsigned smallest = 0;

TEST(slot, stack_lies_between_guard_and_end_and_any_word_in_it_leads_to_its_slot) {
  for (unsigned size_class = smallest; size_class != 10; ++size_class) {
    slot* const s = slots::acquire(size_class);
    EXPECT_EQ(s->size, slots::size_of(size_class));
    EXPECT_EQ(s->user, nullptr);
    EXPECT_EQ(s->kind, stackless::extent_kind::slot);
    EXPECT_GE(s->floor(), s->begin + std::min(s->size / 8, std::size_t{64} << 10)) << "a guard of several pages";
    EXPECT_EQ(s->floor() % guard::page_size(), 0u);
    EXPECT_EQ(s->top() % 64, 0u);
    EXPECT_LT(s->top(), s->end());
    EXPECT_EQ(s->room(), s->top() - s->floor());
    EXPECT_GE(s->room(), slots::least_room(size_class));
    EXPECT_EQ(region::find(s->begin), s);
    EXPECT_EQ(region::find(s->top() - 8), s);
    EXPECT_EQ(region::find(s->end() - 1), s);
    std::memset(at(s->floor()), 1, s->end() - s->floor());
    slots::release(s);
  }
}

TEST(slot, sizes_are_powers_of_two_and_all_but_the_guard_and_what_is_left_for_colours_can_be_used) {
  for (unsigned size_class = smallest; size_class != slots::size_classes; ++size_class) {
    const std::size_t size = slots::size_of(size_class);
    EXPECT_EQ(slots::class_of(size), size_class);
    EXPECT_EQ(slots::class_of(size + 1), std::nullopt);
    EXPECT_EQ(slots::class_of(size + size / 2), std::nullopt);
    EXPECT_LT(slots::least_room(size_class), size);
    EXPECT_GT(slots::least_room(size_class), size / 2);
  }
  EXPECT_EQ(slots::class_of(0), std::nullopt);
  EXPECT_EQ(slots::class_of(slots::smallest / 2), std::nullopt);
  EXPECT_EQ(slots::class_of(slots::size_of(slots::size_classes)), std::nullopt);
}

// AddressSanitizer keeps a byte for each eight of a stack.
#if !STACKLESS_ASAN
TEST(slot, largest_can_be_had) {
  slot* const s = slots::acquire(slots::size_classes - 1);
  EXPECT_EQ(s->size, std::size_t{2} << 30);
  EXPECT_TRUE(guard::faults(at(s->floor() - guard::page_size())));
  *at(s->floor()) = 1;
  *at(s->top() - 1) = 1;
  EXPECT_EQ(region::find(s->begin + s->size / 2), s);
  slots::release(s);
}
#endif

TEST(slot, overflow_hits_a_guard_also_after_the_slot_was_idle) {
  for (const unsigned size_class : {smallest, ordinary}) {
    slot* const first = slots::acquire(size_class);
    EXPECT_TRUE(guard::faults(at(first->floor() - guard::page_size())));
    EXPECT_DEATH(*reinterpret_cast<volatile char*>(first->floor() - 1) = 1, "");
    EXPECT_DEATH(*reinterpret_cast<volatile char*>(first->begin) = 1, "");
    slots::release(first);
    slot* const again = slots::acquire(size_class);
    EXPECT_EQ(again, first);
    EXPECT_TRUE(guard::faults(at(again->begin)));
    slots::release(again);
  }
}

TEST(slot, idle_slots_of_one_size_are_not_used_for_another) {
  slot* const small = slots::acquire(smallest);
  const std::uintptr_t begin = small->begin;
  slots::release(small);
  slot* const other = slots::acquire(ordinary);
  EXPECT_NE(other->begin, begin);
  EXPECT_EQ(other->size, slots::size_of(ordinary));
  slot* const again = slots::acquire(smallest);
  EXPECT_EQ(again->begin, begin);
  slots::release(other);
  slots::release(again);
}

TEST(slot, hot_ends_of_neighbours_fall_into_different_sets) {
  for (const unsigned size_class : {smallest, ordinary}) {
    constexpr std::size_t sets_of_pages = 128;
    constexpr std::uintptr_t unused = stackless::arch::region_end - 5 * stackless::arch::chunk_size;
    std::vector<slot*> taken;
    std::set<std::uintptr_t> lines;
    std::set<std::uintptr_t> pages;
    for (std::uintptr_t i = 0; i < 60; ++i) {
      taken.push_back(slots::acquire_at(unused + i * slots::size_of(size_class), size_class));
      ASSERT_NE(taken.back(), nullptr);
      lines.insert(taken.back()->top() % 4096);
      pages.insert(taken.back()->top() / 4096 % sets_of_pages);
    }
    EXPECT_GT(lines.size(), 20u);
    EXPECT_GT(pages.size(), 10u);
    for (slot* each : taken) slots::release(each);
  }
}

TEST(slot, pages_of_many_idle_slots_go_back_and_their_guards_stay) {
  std::vector<slot*> taken;
  for (int i = 0; i < 1000; ++i) {
    taken.push_back(slots::acquire(ordinary));
    *at(taken.back()->top() - 1) = 1;
  }
  for (slot* each : taken) slots::release(each);
  int still_written = 0;
  for (slot* each : taken) {
    still_written += *at(each->top() - 1);
    EXPECT_TRUE(guard::faults(at(each->begin)));
    EXPECT_EQ(region::find(each->begin), each);
  }
  EXPECT_GT(still_written, 0);
  EXPECT_LT(still_written, 500);
  std::set<slot*> again;
  for (int i = 0; i < 1000; ++i) again.insert(slots::acquire(ordinary));
  EXPECT_EQ(again, std::set<slot*>(taken.begin(), taken.end()));
  for (slot* each : again) slots::release(each);
}

TEST(slot, acquire_at_takes_free_addresses_and_idle_slots_and_nothing_else) {
  slot* const s = slots::acquire(ordinary);
  const std::uintptr_t begin = s->begin;
  EXPECT_EQ(slots::acquire_at(begin, ordinary), nullptr) << "in use";
  EXPECT_EQ(slots::acquire_at(begin + stackless::arch::granule_size, ordinary), nullptr) << "overlaps one in use";
  slots::release(s);
  EXPECT_EQ(slots::acquire_at(begin, ordinary), s) << "idle";
  EXPECT_EQ(slots::acquire_at(begin, ordinary), nullptr);
  slots::release(s);

  const std::uintptr_t elsewhere = stackless::arch::region_end - 3 * stackless::arch::chunk_size;
  slot* const made = slots::acquire_at(elsewhere, ordinary);
  ASSERT_NE(made, nullptr);
  EXPECT_EQ(made->begin, elsewhere);
  EXPECT_TRUE(guard::faults(at(elsewhere)));
  *at(made->top() - 1) = 1;
  EXPECT_EQ(slots::acquire_at(elsewhere, ordinary), nullptr);
  slots::release(made);

  EXPECT_EQ(slots::acquire_at(elsewhere + 1, ordinary), nullptr);
  EXPECT_EQ(slots::acquire_at(0, ordinary), nullptr);
  EXPECT_EQ(slots::acquire_at(stackless::arch::region_end, ordinary), nullptr);
}

TEST(slot, idle_slot_makes_way_for_a_home_that_overlaps_it) {
  slot* const s = slots::acquire(ordinary);
  const std::uintptr_t begin = s->begin;
  slots::release(s);
  EXPECT_TRUE(stackless::vacate(begin + stackless::arch::granule_size, 1));
  EXPECT_EQ(region::find(begin), nullptr);
  EXPECT_FALSE(guard::faults(at(begin)));
  slot* const again = slots::acquire_at(begin, ordinary);
  ASSERT_NE(again, nullptr);
  EXPECT_FALSE(stackless::vacate(begin, 1));
  slots::release(again);
}

TEST(slot, idle_slot_makes_way_for_one_of_another_size_that_comes_home_there) {
  slot* const s = slots::acquire(ordinary);
  const std::uintptr_t begin = s->begin;
  slots::release(s);
  slot* const small = slots::acquire_at(begin, smallest);
  ASSERT_NE(small, nullptr);
  EXPECT_EQ(small->size, slots::smallest);
  EXPECT_EQ(region::find(begin + slots::smallest), nullptr);
  slots::release(small);
}

TEST(slot, child_of_a_fork_does_not_use_its_parents_addresses) {
  slot* const idle = slots::acquire(ordinary);
  slot* const busy = slots::acquire(ordinary);
  const std::uintptr_t begin = idle->begin;
  slots::release(idle);
  const pid_t child = fork();
  if (child == 0) {
    const slot* const fresh = slots::acquire(ordinary);
    const bool apart = fresh->begin / stackless::arch::chunk_size != begin / stackless::arch::chunk_size;
    const std::uintptr_t left = busy->begin;
    slots::release(busy);
    _exit(apart && region::find(begin) == nullptr && region::find(left) == nullptr ? 0 : 1);
  }
  int status = 0;
  waitpid(child, &status, 0);
  EXPECT_EQ(status, 0);
  slots::release(busy);
}

}  // namespace
