// What surrounds a tasklet when it is saved and when it comes back: main, the end of the process, the slots
// in use.

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <optional>
#include <span>
#include <sstream>
#include <stackless/stackless.hpp>
#include <string>
#include <utility>
#include <vector>

#include "arch/region.hpp"
#include "tests/serialize/from_child.hpp"

namespace {

using stackless::run;
using stackless::schedule;
using stackless::schedule_remove;
using stackless::tasklet;

std::vector<std::string> trace;

class surroundings : public testing::Test {
 protected:
  void SetUp() override { trace = {}; }
  void TearDown() override { EXPECT_EQ(stackless::runcount(), 1u); }
};

void note(std::string what) {
  trace.push_back(std::move(what));
}

using lines = std::vector<std::string>;

/// Drops its handle to main at its second turn.
tasklet holder_of_main() {
  tasklet t([] {
    {
      const tasklet main = stackless::main_tasklet();
      schedule_remove();
      note(main.alive() ? "main lives" : "main is dead");
    }
    schedule();
    note("end of the copy");
  });
  run();
  return t;
}

TEST_F(surroundings, restored_handle_to_main_that_is_dropped_leaves_parked_main_alone) {
  tasklet copy = brought_back(holder_of_main);
  copy.insert();
  tasklet([] {
    schedule();
    schedule();
    note("end of the other");
  });
  EXPECT_NO_THROW(schedule_remove());
  EXPECT_EQ(trace, (lines{"main lives", "end of the copy", "end of the other"}));
  EXPECT_TRUE(stackless::main_tasklet().alive());

  tasklet([] { note("the next"); });
  EXPECT_NO_THROW(schedule_remove()) << "main needs no handle to pause";
  EXPECT_EQ(trace.back(), "the next");
}

tasklet counts_two_turns() {
  tasklet t([] {
    const std::string text = "a string that is too long for the small buffer ";
    for (int i = 0; i != 2; ++i) {
      schedule_remove();
      note(text + std::to_string(i));
    }
  });
  run();
  return t;
}

TEST_F(surroundings, dump_works_when_the_process_ends) {
  static std::optional<tasklet> saved_at_exit;
  static int out = -1;
  const auto bytes = output_of_child([](int fd) {
    out = fd;
    saved_at_exit = counts_two_turns();
    std::atexit([] {
      try {
        put(out, stackless::dumps(*saved_at_exit));
      } catch (const std::exception& e) {
        std::fprintf(stderr, "at exit: %s\n", e.what());
      }
    });
    stackless::dumps(*saved_at_exit);  // what the thread keeps from this one is gone by then
    std::exit(0);
  });
  tasklet copy = stackless::loads(bytes);
  copy.insert();
  run();
  EXPECT_EQ(trace, (lines{"a string that is too long for the small buffer 0"}));
  EXPECT_TRUE(copy.paused());
  copy.kill();
}

/// Has not started, and holds a handle to one that is parked.
tasklet starts_with_a_parked_one() {
  tasklet parked([] {
    schedule_remove();
    note("the parked one");
  });
  parked.run();
  return tasklet::bound([parked]() mutable {
    note("the new one, ");
    parked.insert();
    run();
  });
}

/// Restores and runs what is in the bytes, and writes what it says.
void tell(int fd, std::span<const std::byte> bytes) {
  stackless::loads(bytes).insert();
  run();
  for (const std::string& line : trace) put(fd, std::as_bytes(std::span(line)));
}

void expect_told(const std::vector<std::byte>& bytes) {
  EXPECT_EQ(std::string(reinterpret_cast<const char*>(bytes.data()), bytes.size()),
            "the new one, the parked one");
}

TEST_F(surroundings, slot_for_one_not_started_is_not_the_home_of_another_in_the_snapshot) {
  // Both are gone when they come back: the slots they leave are those that are used first. In a child, where
  // no stack is one that others have left addresses on.
  expect_told(output_of_child([](int fd) {
    const auto bytes = stackless::dumps(starts_with_a_parked_one());
    tell(fd, bytes);
  }));
}

TEST_F(surroundings, processes_that_begin_at_the_same_addresses_can_exchange_one_not_started) {
  // A child makes a start of its own, and never by chance as far up as this.
  namespace arch = stackless::arch;
  std::ostringstream arena;
  arena << std::hex << arch::region_begin + arch::region::chunk_count / 8 * 7 * arch::chunk_size;
  setenv("STACKLESS_ARENA", arena.str().c_str(), 1);
  // As in any program, there is something before the first tasklet: the next slot lies behind it.
  const auto start = [] { return stackless::heap::allocate(100'000); };
  const auto bytes = saved_in_child([&] {
    start();
    return starts_with_a_parked_one();
  });
  const auto told = output_of_child([&](int fd) {
    start();
    tell(fd, bytes);
  });
  unsetenv("STACKLESS_ARENA");
  expect_told(told);
}

}  // namespace
