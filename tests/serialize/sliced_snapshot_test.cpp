// Tasklets that share the addresses of their stacks: saved together and one without the other, by one of them, and
// brought back to addresses at which others live. What else can be saved of them, the other tests see when they are run
// on such stacks.

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <memory>
#include <numeric>
#include <optional>
#include <stackless/stackless.hpp>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "core/access.hpp"
#include "core/heap.hpp"
#include "core/slot.hpp"
#include "serialize/capture.hpp"
#include "serialize/reader.hpp"
#include "serialize/writer.hpp"
#include "tests/serialize/from_child.hpp"

namespace {

namespace snapshot = stackless::snapshot;
using stackless::run;
using stackless::schedule_remove;
using stackless::snapshot_error;
using stackless::tasklet;
using bytes = std::vector<std::byte>;

constexpr stackless::tasklet_options own{.stack = stackless::stack::own};
constexpr stackless::tasklet_options sliced{.stack = stackless::stack::sliced};

std::string trace;

class sliced_snapshots : public testing::Test {
 protected:
  void SetUp() override {
    stackless::share_slots({.count = 1});
    trace.clear();
  }
  void TearDown() override {
    run();
    stackless::share_slots({});
    EXPECT_EQ(stackless::runcount(), 1u);
  }
};

const stackless::detail::record* record_of(const tasklet& t) { return stackless::tasklet_access::record(t); }
stackless::slot* slot_of(const tasklet& t) { return record_of(t)->stack; }
bool is_in_place(const tasklet& t) { return slot_of(t)->user == record_of(t); }

/// Says its name at each turn but the first, if nobody has touched its frame meanwhile.
void keep(char name, int rounds) {
  std::array<int, 100> mine;
  for (int round = 0; round != rounds; ++round) {
    std::iota(mine.begin(), mine.end(), name + round);
    asm volatile("" ::"r"(mine.data()) : "memory");
    schedule_remove();
    asm volatile("" ::: "memory");
    for (std::size_t i = 0; i != mine.size(); ++i) {
      if (mine[i] != name + round + static_cast<int>(i)) return;
    }
    trace += name;
  }
}

tasklet keeper(char name, const stackless::tasklet_options& options = sliced, int rounds = 2) {
  tasklet t(options, keep, name, rounds);
  t.run();
  return t;
}

/// What ended last has gone too.
void clean_up() {
  tasklet(own, [] {});
  run();
}

/// The same file, but for the slot that its only tasklet has to come back to.
bytes moved(const bytes& saved, std::uint64_t slot) {
  snapshot::image image = snapshot::read(saved, "<memory>");
  auto& t = image.tasklets.front();
  const std::uint64_t distance = slot - t.slot;
  t.slot += distance;
  t.live += distance;
  t.sp += distance;
  std::pmr::vector<std::byte> crafted(snapshot::scratch());
  snapshot::write(image, crafted);
  return {crafted.begin(), crafted.end()};
}

void expect_home_taken(const bytes& saved, const std::string& by) {
  try {
    stackless::loads(saved);
    ADD_FAILURE() << "came back";
  } catch (const snapshot_error& e) {
    EXPECT_EQ(e.reason(), snapshot_error::kind::home_taken);
    EXPECT_NE(std::string(e.what()).find(by), std::string::npos) << e.what();
  }
}

TEST_F(sliced_snapshots, one_is_saved_without_the_other_in_place_or_away) {
  for (const bool away : {false, true}) {
    tasklet t = brought_back([away] {
      tasklet first = keeper('a');
      const tasklet second = keeper('b');
      EXPECT_EQ(slot_of(first), slot_of(second));
      EXPECT_FALSE(is_in_place(first));
      return away ? first : second;
    });
    t.run();
    t.run();
    EXPECT_FALSE(t.alive());
  }
  EXPECT_EQ(trace, "bbaa");
}

/// Holds two others, and lets them go on in turn with itself.
void lead(tasklet a, tasklet b) {
  for (int round = 0; round != 2; ++round) {
    schedule_remove();
    a.run();
    trace += '-';
    b.run();
  }
}

TEST_F(sliced_snapshots, those_of_one_slot_are_saved_together_and_with_one_that_has_its_own) {
  for (const auto& kind : {sliced, own}) {
    tasklet t = brought_back([&kind] {
      tasklet leader(kind, lead, keeper('a'), keeper('b'));
      leader.run();
      return leader;
    });
    tasklet beside = keeper('c');
    t.run();
    beside.run();
    t.run();
    beside.run();
    EXPECT_FALSE(t.alive());
    EXPECT_EQ(std::exchange(trace, {}), "a-bca-bc");
  }
}

TEST_F(sliced_snapshots, one_that_shares_the_slot_saves_another_again_and_again) {
  const bytes saved = bytes_from_child([] {
    bytes last;
    tasklet other = keeper('a');
    const tasklet saver(sliced, [&] {
      std::array<int, 200> mine;
      std::iota(mine.begin(), mine.end(), 0);
      for (int round = 0; round != 3; ++round) {
        const bytes again = stackless::dumps(other);
        EXPECT_TRUE(last.empty() || again == last);
        last = again;
      }
      EXPECT_THROW(stackless::dumps(stackless::current()), snapshot_error);
      for (std::size_t i = 0; i != mine.size(); ++i) EXPECT_EQ(mine[i], static_cast<int>(i));
    });
    EXPECT_EQ(slot_of(saver), slot_of(other));
    run();
    other.run();
    other.run();
    EXPECT_EQ(trace, "aa") << "saving has an effect";
    return last;
  });
  tasklet t = stackless::loads(saved);
  t.run();
  t.run();
  EXPECT_EQ(trace, "aa");
}

TEST_F(sliced_snapshots, one_that_shares_the_slot_brings_another_back) {
  const bytes saved = saved_in_child([] { return keeper('a'); });
  tasklet(sliced, [&saved] {
    std::array<int, 200> mine;
    std::iota(mine.begin(), mine.end(), 0);
    tasklet t = stackless::loads(saved);
    t.run();
    t.run();
    for (std::size_t i = 0; i != mine.size(); ++i) EXPECT_EQ(mine[i], static_cast<int>(i));
  });
  run();
  EXPECT_EQ(trace, "aa");
}

TEST_F(sliced_snapshots, comes_back_to_its_slot_while_its_neighbours_live_there) {
  tasklet neighbour = keeper('n', sliced, 10);
  tasklet other = keeper('o', sliced, 10);
  std::optional<tasklet> t = keeper('t');
  stackless::slot* const home = slot_of(*t);
  const bytes saved = stackless::dumps(*t);
  t->kill();
  t.reset();
  clean_up();
  const auto tenants = home->tenants;
  for (int round = 0; round != 2; ++round) {
    t = stackless::loads(saved);
    EXPECT_EQ(slot_of(*t), home);
    EXPECT_EQ(home->tenants, tenants + 1);
    EXPECT_FALSE(is_in_place(*t));
    EXPECT_EQ(stackless::dumps(*t), saved);
    neighbour.run();
    t->run();
    other.run();
    t->run();
    EXPECT_FALSE(t->alive());
    t.reset();
    clean_up();
    EXPECT_EQ(home->tenants, tenants);
  }
  EXPECT_EQ(trace, "ntotntot") << "all have gone on with what they had";
}

TEST_F(sliced_snapshots, slot_that_came_with_them_goes_with_the_last_of_them) {
  tasklet t = brought_back([] {
    tasklet leader(sliced, lead, keeper('a'), keeper('b'));
    leader.run();
    return leader;
  });
  const stackless::slot* const home = slot_of(t);
  const std::uintptr_t begin = home->begin;
  EXPECT_EQ(home->tenants, 3u);
  EXPECT_NE(slot_of(keeper('x')), home) << "nobody new settles in it";
  t.run();
  t.run();
  clean_up();
  auto* const there = static_cast<const stackless::slot*>(stackless::arch::region::find(begin));
  EXPECT_TRUE(there == nullptr || there->now != stackless::slot::state::used);
}

TEST_F(sliced_snapshots, one_that_has_not_started_or_has_ended_stays_sliced) {
  tasklet fresh = brought_back([] { return tasklet::bound(sliced, keep, 'f', 2); });
  const tasklet beside = keeper('x');
  EXPECT_EQ(slot_of(fresh), slot_of(beside)) << "any shared slot will do";
  fresh.run();
  fresh.run();
  fresh.run();
  EXPECT_EQ(trace, "ff");

  tasklet dead = brought_back([] {
    tasklet t(sliced, [] {});
    run();
    return t;
  });
  EXPECT_FALSE(dead.alive());
  dead.bind([] { keep('d', 2); }).setup();
  EXPECT_EQ(slot_of(dead), slot_of(beside));
  dead.kill();
}

TEST_F(sliced_snapshots, home_that_another_stack_has_is_taken) {
  const bytes saved = saved_in_child([] { return keeper('t'); });
  const auto begin = snapshot::read(saved, "<memory>").tasklets.front().slot;

  stackless::slot* occupant = stackless::slots::acquire_at(begin, 2);
  ASSERT_NE(occupant, nullptr);
  expect_home_taken(saved, "the stack of another tasklet lies");
  stackless::slots::release(occupant);

  stackless::slots::drop(*occupant);
  occupant = stackless::slots::acquire_at(begin, 1);
  ASSERT_NE(occupant, nullptr);
  expect_home_taken(saved, "the stack of another tasklet lies");
  stackless::slots::release(occupant);

  tasklet t = stackless::loads(saved);
  t.kill();
}

TEST_F(sliced_snapshots, home_that_another_thread_shares_is_taken) {
  const bytes saved = saved_in_child([] { return keeper('t'); }), other = saved_in_child([] { return keeper('o'); });
  std::thread([&] {
    tasklet t = stackless::loads(saved);
    std::thread([&] {
      expect_home_taken(moved(other, slot_of(t)->begin), "other tasklets share their stacks' addresses");
    }).join();
    t.kill();
  }).join();
}

TEST_F(sliced_snapshots, own_stack_does_not_come_back_to_where_others_share_one) {
  const tasklet neighbour = keeper('n');
  const bytes saved = saved_in_child([] { return keeper('t', own); });
  expect_home_taken(moved(saved, slot_of(neighbour)->begin), "other tasklets share their stacks' addresses");
}

TEST_F(sliced_snapshots, slot_that_others_share_is_not_another_one_in_its_middle) {
  const tasklet neighbour = keeper('n');
  const bytes saved = saved_in_child([] { return keeper('t'); });
  expect_home_taken(moved(saved, slot_of(neighbour)->begin + stackless::arch::granule_size),
                    "other tasklets share their stacks' addresses");
}

TEST_F(sliced_snapshots, nothing_is_left_of_one_that_could_not_come_back) {
  const tasklet neighbour = keeper('n');
  stackless::slot* const home = slot_of(neighbour);
  const bytes saved = saved_in_child([] {  // a child of fork goes on with the slots that are there
    tasklet t = keeper('t');
    t.name("with a block of the heap");
    return t;
  });
  const snapshot::image image = snapshot::read(saved, "<memory>");
  ASSERT_EQ(image.tasklets.front().slot, home->begin);
  const snapshot::block& block = image.blocks.front();
  const snapshot::span& span = image.spans[block.span];
  ASSERT_TRUE(stackless::heap::claim(block.begin, {.begin = span.begin, .size = span.size, .cell_size = span.cell_size}));
  expect_home_taken(saved, "a heap block of");
  EXPECT_EQ(home->tenants, 1u);

  stackless::heap::deallocate(reinterpret_cast<void*>(block.begin));
  tasklet t = stackless::loads(saved);
  EXPECT_EQ(home->tenants, 2u);
  t.run();
  t.run();
  EXPECT_EQ(trace, "tt");
}

TEST_F(sliced_snapshots, stack_that_does_not_end_where_its_slot_lets_stacks_begin_is_damage) {
  const bytes saved = saved_in_child([] { return keeper('t'); });
  for (const std::uint64_t distance : {std::uint64_t{8}, std::uint64_t(-64)}) {
    snapshot::image image = snapshot::read(saved, "<memory>");
    auto& t = image.tasklets.front();
    t.live += distance;
    t.sp += distance;
    std::pmr::vector<std::byte> crafted(snapshot::scratch());
    snapshot::write(image, crafted);
    try {
      stackless::loads(crafted);
      ADD_FAILURE() << "came back";
    } catch (const snapshot_error& e) {
      EXPECT_EQ(e.reason(), snapshot_error::kind::damaged) << e.what();
    }
  }
  stackless::loads(saved).kill();
}

/// How many words of its blocks lead to what is not saved with a tasklet that holds this one in a block.
struct findings {
  std::size_t blocks, strangers;
};

findings findings_with(const void* word, const stackless::tasklet_options& options) {
  struct holder {
    const void* word;
  };
  tasklet t(
      options,
      [](const std::unique_ptr<holder>& held) {
        schedule_remove();
        (void)*static_cast<const volatile holder*>(held.get());
      },
      std::make_unique<holder>(holder{word}));
  t.run();
  auto* const root = stackless::tasklet_access::record(t);
  const snapshot::image image = snapshot::capture({&root, 1});
  EXPECT_EQ(image.tasklets.size(), 1u);
  const auto leads_away = [](const snapshot::word& w) { return w.what.means == snapshot::meaning::stranger; };
  return {image.blocks.size(), static_cast<std::size_t>(std::ranges::count_if(image.heap.words, leads_away))};
}

TEST_F(sliced_snapshots, address_in_a_slot_of_others_or_where_a_stack_is_away_is_not_followed) {
  const tasklet neighbour = keeper('n');
  const findings nothing = findings_with(nullptr, sliced);
  EXPECT_FALSE(is_in_place(neighbour));
  const findings away = findings_with(record_of(neighbour)->away, sliced);
  EXPECT_EQ(away.blocks, nothing.blocks);
  EXPECT_EQ(away.strangers, nothing.strangers + 1);

  const auto* const on_stack = reinterpret_cast<const void*>(slot_of(neighbour)->top() - 64);
  EXPECT_EQ(findings_with(on_stack, own).strangers, nothing.strangers + 1);
  EXPECT_EQ(findings_with(on_stack, sliced).strangers, nothing.strangers) << "there it can be its own";
}

}  // namespace
