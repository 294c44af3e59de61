#include <gtest/gtest.h>

#include <array>
#include <cstdlib>
#include <cstring>
#include <map>
#include <memory>
#include <numeric>
#include <span>
#include <stackless/stackless.hpp>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "core/access.hpp"
#include "serialize/capture.hpp"
#include "serialize/classify.hpp"
#include "tests/serialize/from_child.hpp"

namespace {

using stackless::snapshot_error;
using stackless::tasklet;

std::vector<std::string> trace;

class snapshots : public testing::Test {
 protected:
  void SetUp() override { trace = {}; }
  void TearDown() override { EXPECT_EQ(stackless::runcount(), 1u); }
};

void note(std::string what) {
  trace.push_back(std::move(what));
}

std::vector<std::string> traced() {
  return std::exchange(trace, {});
}

snapshot_error::kind refused(const tasklet& t, std::string* text = nullptr) {
  try {
    stackless::dumps(t);
  } catch (const snapshot_error& e) {
    if (text != nullptr) *text = e.what();
    EXPECT_FALSE(e.about().hint.empty());
    return e.reason();
  }
  ADD_FAILURE() << "was saved";
  return snapshot_error::kind::io;
}

TEST_F(snapshots, saving_has_no_effect_on_the_original) {
  tasklet t([] {
    stackless::schedule();
    note("went on");
  });
  t.run();
  stackless::dumps(t);
  EXPECT_TRUE(t.scheduled());
  stackless::run();
  EXPECT_EQ(traced(), (std::vector<std::string>{"went on"}));
}

TEST_F(snapshots, copy_is_paused_and_repeats_only_what_was_left) {
  tasklet u = brought_back([] {
    tasklet t(
        [](const std::string& name) {
          const std::string kept = name + ", which is too long for the small buffer";
          note("first");
          stackless::schedule_remove();
          note(kept);
        },
        std::string("an argument"));
    stackless::run();
    return t;
  });
  EXPECT_TRUE(u.paused());
  EXPECT_TRUE(u.restorable());
  u.insert();
  stackless::run();
  EXPECT_EQ(traced(), (std::vector<std::string>{"an argument, which is too long for the small buffer"}));
  EXPECT_FALSE(u.alive());
}

TEST_F(snapshots, not_started_comes_back_with_its_arguments) {
  tasklet u = brought_back([] {
    return tasklet::bound([](const std::string& text, int n) { note(text + std::to_string(n)); },
                          std::string("a string beyond any small buffer "), 7);
  });
  EXPECT_TRUE(u.paused());
  u.insert();
  stackless::run();
  EXPECT_EQ(traced(), (std::vector<std::string>{"a string beyond any small buffer 7"}));
}

TEST_F(snapshots, dead_stays_dead) {
  tasklet u = brought_back([] {
    tasklet t([] {});
    stackless::run();
    return t;
  });
  EXPECT_FALSE(u.alive());
  EXPECT_THROW(u.insert(), stackless::state_error);
}

stackless::channel<std::string> global;

TEST_F(snapshots, blocked_receiver_is_blocked_on_the_same_channel) {
  const tasklet u = brought_back([] {
    tasklet t([] { note(global.receive()); });
    stackless::run();
    return t;
  });
  EXPECT_TRUE(u.blocked());
  EXPECT_EQ(global.balance(), -1);
  global.send("to the copy, in a string that is not small");
  EXPECT_EQ(traced(), (std::vector<std::string>{"to the copy, in a string that is not small"}));
  EXPECT_FALSE(u.alive());
}

TEST_F(snapshots, blocked_senders_value_is_not_lost) {
  const tasklet u = brought_back([] {
    tasklet t([] {
      global.send("the value of a sender, in a string that is not small");
      note("sent");
    });
    stackless::run();
    return t;
  });
  EXPECT_TRUE(u.blocked());
  EXPECT_EQ(global.balance(), 1);
  EXPECT_EQ(global.receive(), "the value of a sender, in a string that is not small");
  stackless::run();
  EXPECT_EQ(traced(), (std::vector<std::string>{"sent"}));
}

stackless::channel<std::array<long, 100>> of_arrays;

TEST_F(snapshots, blocked_senders_value_too_large_for_the_record_is_not_lost) {
  const tasklet u = brought_back([] {
    tasklet t([] {
      std::array<long, 100> numbers;
      std::iota(numbers.begin(), numbers.end(), 1);
      of_arrays.send(numbers);
    });
    stackless::run();
    return t;
  });
  const auto numbers = of_arrays.receive();
  EXPECT_EQ(std::accumulate(numbers.begin(), numbers.end(), 0L), 5050);
  stackless::run();
  EXPECT_FALSE(u.alive());
}

void receive_from(const std::shared_ptr<stackless::channel<int>>& c, int n) {
  note(std::to_string(n) + " got " + std::to_string(c->receive()));
}

TEST_F(snapshots, channel_in_the_heap_brings_its_queue) {
  stackless::channel<int>* where = nullptr;
  const auto bytes = bytes_from_child([] {
    const auto c = std::make_shared<stackless::channel<int>>();
    const tasklet a(receive_from, c, 1);
    const tasklet b(receive_from, c, 2);
    stackless::run();
    auto saved = stackless::dumps(a);
    const auto* address = c.get();
    const auto* raw = reinterpret_cast<const std::byte*>(&address);
    saved.insert(saved.end(), raw, raw + sizeof address);
    return saved;
  });
  const auto snapshot = std::span(bytes).first(bytes.size() - sizeof where);
  std::memcpy(&where, snapshot.data() + snapshot.size(), sizeof where);
  const tasklet u = stackless::loads(snapshot);
  EXPECT_TRUE(u.blocked());
  EXPECT_EQ(where->balance(), -2);
  where->send(10);
  where->send(20);
  EXPECT_EQ(traced(), (std::vector<std::string>{"1 got 10", "2 got 20"}));
}

TEST_F(snapshots, saving_a_channel_leaves_its_queue_as_it_was) {
  const auto c = std::make_shared<stackless::channel<int>>();
  const tasklet a(receive_from, c, 1);
  const tasklet b(receive_from, c, 2);
  stackless::run();
  stackless::dumps(a);
  EXPECT_EQ(c->balance(), -2);
  c->send(10);
  c->send(20);
  EXPECT_EQ(traced(), (std::vector<std::string>{"1 got 10", "2 got 20"}));
}

TEST_F(snapshots, handle_takes_its_tasklet_along) {
  tasklet u = brought_back([] {
    tasklet t([] {
      tasklet inner = tasklet::bound([] { note("inner"); });
      stackless::schedule_remove();
      inner.insert();
    });
    stackless::run();
    return t;
  });
  u.insert();
  stackless::run();
  EXPECT_EQ(traced(), (std::vector<std::string>{"inner"}));
}

TEST_F(snapshots, exception_being_handled_is_part_of_it) {
  tasklet u = brought_back([] {
    tasklet t([] {
      try {
        throw std::runtime_error("from before, with a text that is not small");
      } catch (const std::runtime_error&) {
        stackless::schedule_remove();
        try {
          throw;
        } catch (const std::runtime_error& e) {
          note(e.what());
        }
      }
    });
    stackless::run();
    return t;
  });
  u.insert();
  stackless::run();
  EXPECT_EQ(traced(), (std::vector<std::string>{"from before, with a text that is not small"}));
  EXPECT_EQ(std::current_exception(), nullptr);
}

TEST_F(snapshots, error_that_a_tasklet_was_about_to_meet_comes_back) {
  tasklet u = brought_back([] {
    auto doomed = std::make_unique<stackless::channel<int>>();
    tasklet t{[c = doomed.get()] {
      try {
        c->receive();
      } catch (const stackless::state_error& e) {
        note("met");
      }
    }};
    stackless::run();
    doomed.reset();
    return t;
  });
  u.insert();
  stackless::run();
  EXPECT_EQ(traced(), (std::vector<std::string>{"met"}));
}

thread_local int of_this_thread = 0;

TEST_F(snapshots, thread_local_address_is_that_of_the_restoring_thread) {
  const auto bytes = saved_in_child([] {
    stackless::share_slots({.count = 1});  // those that this process may have are this thread's
    tasklet t([] {
      int* volatile address = &of_this_thread;
      stackless::schedule_remove();
      *address = 42;
    });
    stackless::run();
    return t;
  });
  int seen = 0;
  std::thread([&] {
    stackless::loads(bytes).insert();
    stackless::run();
    seen = of_this_thread;
  }).join();
  EXPECT_EQ(seen, 42);
  EXPECT_EQ(of_this_thread, 0);
}

TEST_F(snapshots, another_tasklets_stack_is_not_dragged_in) {
  static int* lent = nullptr;
  tasklet lender({.stack = stackless::stack::own}, [] {
    int local = 1;
    lent = &local;
    stackless::schedule_remove();
  });
  lender.run();
  tasklet borrower([] {
    int* volatile borrowed = lent;
    stackless::schedule_remove();
    (void)*borrowed;
  });
  borrower.run();
  stackless::detail::record* const root = stackless::tasklet_access::record(borrower);
  const auto image = stackless::snapshot::capture({&root, 1});
  EXPECT_EQ(image.tasklets.size(), 1u);
  std::size_t strangers = 0;
  for (const auto& w : image.stacks.words) strangers += w.what.means == stackless::snapshot::meaning::stranger;
  EXPECT_GE(strangers, 1u);
}

TEST_F(snapshots, running_tasklet_is_refused) {
  EXPECT_EQ(refused(stackless::current()), snapshot_error::kind::not_restorable);
  tasklet([] {
    std::string text;
    EXPECT_EQ(refused(stackless::current(), &text), snapshot_error::kind::not_restorable);
    EXPECT_NE(text.find("runs"), std::string::npos) << text;
    EXPECT_FALSE(stackless::current().restorable());
  }).run();
}

TEST_F(snapshots, main_is_refused) {
  tasklet([main = stackless::main_tasklet()] {
    std::string text;
    EXPECT_EQ(refused(main, &text), snapshot_error::kind::not_restorable);
    EXPECT_NE(text.find("main"), std::string::npos) << text;
    EXPECT_FALSE(main.restorable());
  }).run();
}

TEST_F(snapshots, heap_block_that_leads_to_malloc_is_refused) {
  struct holder {
    void* word;
  };
  void* const outside = std::malloc(1000);
  tasklet t([outside] {
    const std::unique_ptr<holder> held(new holder{outside});
    asm volatile("" : : "r"(held.get()) : "memory");  // the block is there, however little it is used
    stackless::schedule_remove();
  });
  t.run();
  std::string text;
  EXPECT_EQ(refused(t, &text), snapshot_error::kind::not_restorable);
  EXPECT_NE(text.find("leads out of the picklable heap"), std::string::npos) << text;
  EXPECT_TRUE(t.paused());
  t.kill();
  std::free(outside);
}

TEST_F(snapshots, word_on_the_stack_that_leads_to_malloc_is_poison) {
  static void* outside;  // a captured one would lie in the heap, where it is refused
  outside = std::malloc(1000);
  tasklet t([] {
    void* volatile held = outside;
    stackless::schedule_remove();
    (void)held;
  });
  t.run();
  stackless::detail::record* const root = stackless::tasklet_access::record(t);
  const auto image = stackless::snapshot::capture({&root, 1});
  std::size_t foreign = 0;
  for (const auto& w : image.stacks.words) foreign += w.what.means == stackless::snapshot::meaning::foreign;
  EXPECT_GE(foreign, 1u);
  t.kill();
  std::free(outside);
}

TEST_F(snapshots, nothing_is_ever_mapped_where_poison_leads) {
  using stackless::snapshot::meaning;
  for (const meaning m : {meaning::foreign, meaning::stranger}) {
    const auto address = stackless::snapshot::poison_of(m);
    stackless::arch::extent e;
    EXPECT_FALSE(stackless::arch::region::take_at(e, address, 1));
    EXPECT_EQ(stackless::snapshot::classifier().classify(address).means, m);
  }
}

TEST_F(snapshots, home_that_is_taken_is_named) {
  tasklet t([] { stackless::schedule_remove(); });
  t.run();
  const auto bytes = stackless::dumps(t);
  try {
    stackless::loads(bytes);
    ADD_FAILURE() << "came back on top of itself";
  } catch (const snapshot_error& e) {
    EXPECT_EQ(e.reason(), snapshot_error::kind::home_taken);
    EXPECT_NE(std::string(e.what()).find("the record of another tasklet lies"), std::string::npos)
        << e.what();
  }
  EXPECT_TRUE(t.paused());
}

tasklet counts_in_three_steps() {
  tasklet t(
      [](std::map<int, std::string> notes) {
        for (int i = 0; i != 3; ++i) {
          stackless::schedule_remove();
          note(notes[i]);
        }
      },
      std::map<int, std::string>{{0, "zero, in a string that is not small"}, {1, "one"}, {2, "two"}});
  stackless::run();
  return t;
}

TEST_F(snapshots, dump_of_a_restored_tasklet_is_the_same_file) {
  const auto first = saved_in_child(counts_in_three_steps);
  tasklet t = stackless::loads(first);
  EXPECT_EQ(stackless::dumps(t), first);
  t.kill();
}

TEST_F(snapshots, third_generation) {
  const auto go_on = [](std::span<const std::byte> bytes) {
    tasklet t = stackless::loads(bytes);
    t.insert();
    stackless::run();
    return t;
  };
  const auto first = saved_in_child(counts_in_three_steps);
  const auto second = saved_in_child([&] { return go_on(first); });
  const auto third = saved_in_child([&] { return go_on(second); });
  tasklet t = go_on(third);
  EXPECT_FALSE(t.alive());
  EXPECT_EQ(traced(), (std::vector<std::string>{"two"}));
}

int down(int n) {
  if (n == 0) {
    stackless::schedule_remove();
    return 0;
  }
  return down(n - 1) + 1;
}

void wait_with(std::size_t bytes) {
  auto* const block = static_cast<volatile char*>(__builtin_alloca(bytes));
  block[0] = 1;
  stackless::schedule_remove();
  block[bytes - 1] = 1;
}

TEST_F(snapshots, frames_of_those_that_wait_at_the_same_place_are_each_ones_own) {
  std::vector<tasklet> all;
  for (const std::size_t bytes : {100, 1000, 100, 500}) all.emplace_back(wait_with, bytes);
  stackless::run();
  std::vector<stackless::detail::record*> records;
  for (const tasklet& t : all) records.push_back(stackless::tasklet_access::record(t));
  const auto together = stackless::snapshot::capture(records);
  std::span<const stackless::snapshot::frame> left = together.frames;
  for (std::size_t i = 0; i != all.size(); ++i) {
    const auto frames = stackless::snapshot::take(left, together.tasklets[i].frame_count);
    const auto alone = stackless::snapshot::capture({&records[i], 1});
    ASSERT_EQ(frames.size(), alone.frames.size());
    for (std::size_t j = 0; j != frames.size(); ++j) {
      EXPECT_EQ(frames[j].pc, alone.frames[j].pc);
      EXPECT_EQ(frames[j].size, alone.frames[j].size);
      EXPECT_EQ(frames[j].found, alone.frames[j].found);
    }
  }
  EXPECT_TRUE(left.empty());
  EXPECT_LT(together.tasklets[0].stack_size, together.tasklets[1].stack_size);
}

TEST_F(snapshots, depth_is_limited_by_the_stack_alone) {
  constexpr int depth = STACKLESS_ASAN ? 500 : 1000;
  tasklet u = brought_back([] {
    tasklet t([] { note(std::to_string(down(depth))); });
    stackless::run();
    return t;
  });
  u.insert();
  stackless::run();
  EXPECT_EQ(traced(), (std::vector<std::string>{std::to_string(depth)}));
}

}  // namespace
