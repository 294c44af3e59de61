#include "core/slot.hpp"

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

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

TEST(slot, stack_lies_between_guard_and_end_and_any_word_in_it_leads_to_its_slot) {
  slot* const s = slots::acquire();
  EXPECT_EQ(s->size, slots::size);
  EXPECT_EQ(s->user, nullptr);
  EXPECT_EQ(s->kind, stackless::extent_kind::slot);
  EXPECT_EQ(s->floor(), s->begin + guard::size());
  EXPECT_EQ(s->top() % 64, 0u);
  EXPECT_LT(s->top(), s->end());
  EXPECT_GE(s->top(), s->end() - (64 << 10));
  EXPECT_EQ(region::find(s->begin), s);
  EXPECT_EQ(region::find(s->top() - 8), s);
  EXPECT_EQ(region::find(s->end() - 1), s);
  std::memset(at(s->floor()), 1, s->end() - s->floor());
  slots::release(s);
}

TEST(slot, overflow_hits_a_guard_also_after_the_slot_was_idle) {
  slot* const first = slots::acquire();
  EXPECT_TRUE(guard::faults(at(first->floor() - 1 - (first->floor() - 1) % guard::size())));
  EXPECT_DEATH(*reinterpret_cast<volatile char*>(first->floor() - 1) = 1, "");
  slots::release(first);
  slot* const again = slots::acquire();
  EXPECT_EQ(again, first);
  EXPECT_TRUE(guard::faults(at(again->begin)));
  slots::release(again);
}

TEST(slot, hot_ends_of_neighbours_fall_into_different_sets) {
  std::vector<slot*> taken;
  std::set<std::uintptr_t> sets;
  std::set<std::uintptr_t> pages;
  for (int i = 0; i < 60; ++i) {
    taken.push_back(slots::acquire());
    sets.insert(taken.back()->top() % 4096);
    pages.insert((taken.back()->top() - taken.back()->begin) / 4096);
  }
  EXPECT_GT(sets.size(), 20u);
  EXPECT_GT(pages.size(), 10u);
  for (slot* each : taken) slots::release(each);
}

TEST(slot, pages_of_many_idle_slots_go_back_and_their_guards_stay) {
  std::vector<slot*> taken;
  for (int i = 0; i < 1000; ++i) {
    taken.push_back(slots::acquire());
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
  for (int i = 0; i < 1000; ++i) again.insert(slots::acquire());
  EXPECT_EQ(again, std::set<slot*>(taken.begin(), taken.end()));
  for (slot* each : again) slots::release(each);
}

TEST(slot, acquire_at_takes_free_addresses_and_idle_slots_and_nothing_else) {
  slot* const s = slots::acquire();
  const std::uintptr_t begin = s->begin;
  EXPECT_EQ(slots::acquire_at(begin), nullptr) << "in use";
  EXPECT_EQ(slots::acquire_at(begin + stackless::arch::granule_size), nullptr) << "overlaps one in use";
  slots::release(s);
  EXPECT_EQ(slots::acquire_at(begin), s) << "idle";
  EXPECT_EQ(slots::acquire_at(begin), nullptr);
  slots::release(s);

  const std::uintptr_t elsewhere = stackless::arch::region_end - 3 * stackless::arch::chunk_size;
  slot* const made = slots::acquire_at(elsewhere);
  ASSERT_NE(made, nullptr);
  EXPECT_EQ(made->begin, elsewhere);
  EXPECT_TRUE(guard::faults(at(elsewhere)));
  *at(made->top() - 1) = 1;
  EXPECT_EQ(slots::acquire_at(elsewhere), nullptr);
  slots::release(made);

  EXPECT_EQ(slots::acquire_at(elsewhere + 1), nullptr);
  EXPECT_EQ(slots::acquire_at(0), nullptr);
  EXPECT_EQ(slots::acquire_at(stackless::arch::region_end), nullptr);
}

TEST(slot, idle_slot_makes_way_for_a_home_that_overlaps_it) {
  slot* const s = slots::acquire();
  const std::uintptr_t begin = s->begin;
  slots::release(s);
  EXPECT_TRUE(stackless::vacate(begin + stackless::arch::granule_size, 1));
  EXPECT_EQ(region::find(begin), nullptr);
  EXPECT_FALSE(guard::faults(at(begin)));
  slot* const again = slots::acquire_at(begin);
  ASSERT_NE(again, nullptr);
  EXPECT_FALSE(stackless::vacate(begin, 1));
  slots::release(again);
}

TEST(slot, child_of_a_fork_does_not_use_its_parents_addresses) {
  slot* const idle = slots::acquire();
  slot* const busy = slots::acquire();
  const std::uintptr_t begin = idle->begin;
  slots::release(idle);
  const pid_t child = fork();
  if (child == 0) {
    const slot* const fresh = slots::acquire();
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
