// Sliced tasklets and threads: those who share a slot are of one thread.

#include <pthread.h>

#include <array>
#include <atomic>
#include <optional>
#include <stackless/error.hpp>
#include <string>
#include <vector>

#include "core/access.hpp"
#include "core/slot.hpp"
#include "elsewhere.hpp"
#include "tests/core/leaving.hpp"

namespace {

using stackless::run;
using stackless::schedule_remove;
using stackless::tasklet;

constexpr stackless::tasklet_options sliced{.stack = stackless::stack::sliced};

class sliced_threads : public with_threads {
 protected:
  void SetUp() override { stackless::share_slots({.count = 1}); }
};

/// Pauses with a full frame; `right` counts those whose frame is as it was.
void keep(int number, int& right) {
  std::array<int, 50> mine;
  mine.fill(number);
  asm volatile("" : : "r"(mine.data()) : "memory");
  schedule_remove();
  asm volatile("" : : "r"(mine.data()) : "memory");
  for (const int each : mine) {
    if (each != number) return;
  }
  ++right;
}

TEST_F(sliced_threads, one_that_has_its_slot_to_itself_moves_away_or_in_place) {
  elsewhere there;
  const tasklet main_there = there.main();
  for (const bool away : {false, true}) {
    int right = 0;
    tasklet t(sliced, keep, 7, std::ref(right));
    run();
    if (away) {
      tasklet(sliced, [] {});
      run();
    }
    t.bind_thread(main_there);
    t.insert();
    there([] { run(); });
    EXPECT_EQ(right, 1);
    EXPECT_FALSE(t.alive());
  }
}

TEST_F(sliced_threads, one_that_shares_its_slot_is_not_moved) {
  elsewhere there;
  int right = 0;
  tasklet a(sliced, keep, 1, std::ref(right)), b(sliced, keep, 2, std::ref(right));
  run();
  try {
    a.bind_thread(there.main());
    ADD_FAILURE() << "moved";
  } catch (const stackless::state_error& e) {
    EXPECT_NE(std::string(e.what()).find("share"), std::string::npos) << e.what();
  }
  b.insert();
  run();
  EXPECT_EQ(right, 1);
  a.bind_thread(there.main());
  a.insert();
  there([] { run(); });
  EXPECT_EQ(right, 2);
}

/// What `f(0)`, `f(1)`, ... make, which share a slot of a thread that has ended.
template <class F>
std::vector<tasklet> orphans_of_one_slot(int count, F f) {
  std::vector<tasklet> left;
  std::thread([&] {
    stackless::share_slots({.count = 1});
    for (int i = 0; i != count; ++i) left.emplace_back(sliced, [f, i] { f(i); });
    run();
  }).join();
  return left;
}

TEST_F(sliced_threads, orphans_of_one_slot_go_to_one_thread) {
  int right = 0;
  std::vector<tasklet> left = orphans_of_one_slot(3, [&right](int i) { keep(i, right); });
  left[0].bind_thread();
  {
    elsewhere there;
    there([&] { EXPECT_THROW(left[1].bind_thread(), stackless::state_error); });
  }
  EXPECT_TRUE(left[1].orphaned());
  for (tasklet& each : left) {
    if (each.orphaned()) each.bind_thread();
    each.insert();
  }
  run();
  EXPECT_EQ(right, 3);
}

TEST_F(sliced_threads, orphans_of_one_slot_go_elsewhere_when_nobody_uses_it_any_more) {
  int right = 0;
  std::vector<tasklet> left = orphans_of_one_slot(3, [&right](int i) { keep(i, right); });
  std::thread([&] {
    left[0].bind_thread();
    left[0].insert();
    run();
  }).join();
  for (std::size_t i = 1; i != 3; ++i) {
    left[i].bind_thread();
    left[i].insert();
  }
  run();
  EXPECT_EQ(right, 3);
}

TEST_F(sliced_threads, orphan_that_nobody_has_a_handle_to_is_unwound_where_its_slot_is) {
  std::array<bool, 2> unwound{};
  std::vector<tasklet> left = orphans_of_one_slot(2, [&unwound](int i) {
    const leaving l{unwound[static_cast<std::size_t>(i)]};
    schedule_remove();
  });
  elsewhere there;
  there([&] { left[0].bind_thread(); });
  left.pop_back();
  there([] { run(); });
  EXPECT_TRUE(unwound[1]);
  EXPECT_FALSE(unwound[0]);
}

thread_local int variable = 0;

/// The address is in the frame while the caller is paused.
[[gnu::noinline]] void keep_address(int* address, int*& afterwards) {
  int* volatile kept = address;
  schedule_remove();
  afterwards = kept;
}

TEST_F(sliced_threads, address_of_a_thread_local_variable_follows_an_orphan_whose_stack_was_moved_meanwhile) {
  std::array<int*, 2> seen{};
  std::vector<tasklet> left = orphans_of_one_slot(2, [&seen](int i) {
    keep_address(&variable, seen[static_cast<std::size_t>(i)]);
  });
  for (tasklet& each : left) {  // the last one is in place until the first one runs
    each.bind_thread();
    each.insert();
    run();
  }
  for (const int* each : seen) EXPECT_EQ(each, &variable);
}

TEST_F(sliced_threads, orphans_of_one_slot_are_not_parted_while_their_thread_leaves_them) {
  constexpr std::size_t count = 100;
  for (int round = 0; round != 50; ++round) {
    std::vector<tasklet> left;
    std::atomic<bool> paused = false;
    std::thread leaves([&] {
      stackless::share_slots({.count = 1});
      for (std::size_t i = 0; i != count; ++i) left.emplace_back(sliced, [] { schedule_remove(); });
      run();
      paused = true;
    });
    while (!paused) std::this_thread::yield();
    const auto bound = [](tasklet& t) {
      while (!t.orphaned()) continue;
      try {
        t.bind_thread();
      } catch (const stackless::state_error&) {
        return false;
      }
      return true;
    };
    elsewhere there;
    bool first = false;
    there([&] { first = bound(left.front()); });
    EXPECT_NE(first, bound(left.back()));
    leaves.join();
    there.end();
    for (tasklet& each : left) {
      if (each.orphaned()) each.bind_thread();
    }
  }
}

TEST_F(sliced_threads, what_the_library_keeps_for_itself_shares_no_slot) {
  const auto before = stackless::default_options();
  stackless::default_options(sliced);
  elsewhere there;
  const tasklet main_there = there.main();  // this thread has waited
  stackless::default_options(before);
  int right = 0;
  tasklet t(sliced, keep, 7, std::ref(right));
  run();
  t.bind_thread(main_there);
  t.insert();
  t.join();
  EXPECT_EQ(right, 1);
}

TEST_F(sliced_threads, threads_slice_each_for_itself) {
  constexpr int each = 100;
  const auto slice = [=] {
    stackless::share_slots({.count = 3});
    int right = 0;
    std::vector<tasklet> all;
    for (int i = 0; i != each; ++i) all.emplace_back(sliced, keep, i, std::ref(right));
    run();
    for (tasklet& t : all) t.insert();
    run();
    EXPECT_EQ(right, each);
  };
  std::thread one(slice), two(slice);
  one.join();
  two.join();
}

bool is_closed(const tasklet& t) { return stackless::tasklet_access::record(t)->stack->closed; }

bool is_led() { return stackless::detail::here().heeds(stackless::detail::attention::strict); }

TEST_F(sliced_threads, strict_one_stays_strict_wherever_it_goes) {
  stackless::share_slots({.strict = true});
  elsewhere there;
  int right = 0;
  tasklet t(sliced, [&right] {
    keep(1, right);
    EXPECT_TRUE(is_led());
    keep(2, right);
  });
  run();
  t.bind_thread(there.main());
  t.insert();
  there([&] {
    run();
    EXPECT_FALSE(is_led());
    EXPECT_TRUE(is_closed(t));
  });
  EXPECT_EQ(right, 1);
  there([&, home = stackless::main_tasklet()] { t.bind_thread(home); });
  t.insert();
  run();
  EXPECT_EQ(right, 2);
  EXPECT_FALSE(is_led());
}

TEST_F(sliced_threads, strict_orphans_are_closed_until_they_go_on_each_for_itself) {
  int right = 0;
  std::vector<tasklet> left;
  std::thread([&] {
    stackless::share_slots({.strict = true});
    for (int i = 0; i != 3; ++i) left.emplace_back(sliced, keep, i, std::ref(right));
    run();
  }).join();
  for (const tasklet& each : left) EXPECT_TRUE(is_closed(each));
  left[0].bind_thread();
  elsewhere there;
  there([&] { left[1].bind_thread(); });
  for (const std::size_t i : {1, 0}) {
    left[i].insert();
    left[i].join();
  }
  EXPECT_EQ(right, 2);
  left.clear();  // the third is unwound here
}

#if !STACKLESS_TSAN  // it lets a thread end only on the stack that it began on
TEST_F(sliced_threads, strict_one_that_ends_its_thread_leaves_the_slot_to_others) {
  const stackless::slot* place = nullptr;
  pthread_t thread;
  const auto work = [](void* out) -> void* {
    stackless::share_slots({.strict = true});
    tasklet(sliced, [out] {
      *static_cast<const stackless::slot**>(out) = stackless::tasklet_access::record(stackless::current())->stack;
      pthread_exit(nullptr);
    });
    run();
    return nullptr;
  };
  ASSERT_EQ(pthread_create(&thread, nullptr, work, &place), 0);
  ASSERT_EQ(pthread_join(thread, nullptr), 0);
  EXPECT_FALSE(place->closed);
  *reinterpret_cast<volatile char*>(place->floor()) = 1;
}
#endif

}  // namespace
