#include "arch/region.hpp"

#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <functional>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include "arch/arena.hpp"
#include "tests/emulator.hpp"

namespace {

namespace region = stackless::arch::region;
using stackless::memory_error;
using stackless::arch::boundary_margin;
using stackless::arch::chunk_size;
using stackless::arch::extent;
using stackless::arch::granule_size;
using stackless::arch::largest_run;
using stackless::arch::region_begin;
using stackless::arch::region_end;

constexpr std::size_t granules_per_chunk = region::granules_per_chunk;

/// A run that is given back when the test is done.
struct run : extent {
  explicit run(std::size_t granules) { region::take(*this, granules); }
  ~run() { region::give_back(*this); }
  run(const run&) = delete;
  run& operator=(const run&) = delete;

  unsigned char* bytes() const { return reinterpret_cast<unsigned char*>(begin); }
};

bool within_margins(const extent& e) {
  constexpr std::uintptr_t boundary = std::uintptr_t{1} << 32;
  return e.begin % boundary >= boundary_margin &&
         e.end() - e.begin / boundary * boundary <= boundary - boundary_margin;
}


/// Runs `body` in a child: what it wrote to the descriptor it was given, and the status it ended with.
struct child {
  std::string output;
  int status = 0;

  explicit child(const std::function<int(int)>& body) {
    int ends[2];
    if (pipe(ends) != 0) throw std::runtime_error("pipe");
    const pid_t id = fork();
    if (id == 0) {
      close(ends[0]);
      _exit(body(ends[1]));
    }
    close(ends[1]);
    char text[256];
    for (ssize_t length; (length = read(ends[0], text, sizeof text)) > 0;) {
      output.append(text, static_cast<std::size_t>(length));
    }
    close(ends[0]);
    int ended = 0;
    waitpid(id, &ended, 0);
    status = WIFEXITED(ended) ? WEXITSTATUS(ended) : 128 + WTERMSIG(ended);
  }
};

std::string error_of(const std::function<void()>& action) {
  try {
    action();
  } catch (const memory_error& error) {
    return error.what();
  }
  return "";
}

TEST(region, word_outside_of_every_run_has_no_owner) {
  const run taken(1);
  for (const std::uintptr_t word :
       {std::uintptr_t{0}, std::uintptr_t{1}, ~std::uintptr_t{0}, region_begin - 1, region_end, region_begin,
        region_end - 1, std::uintptr_t{1} << 63}) {
    EXPECT_EQ(region::find(word), nullptr) << std::hex << word;
  }
}

TEST(region, first_and_last_byte_belong_to_the_run_and_the_next_does_not) {
  const run taken(3);
  EXPECT_EQ(taken.size, 3 * granule_size);
  EXPECT_EQ(region::find(taken.begin), &taken);
  EXPECT_EQ(region::find(taken.begin + granule_size + 7), &taken);
  EXPECT_EQ(region::find(taken.end() - 1), &taken);
  EXPECT_NE(region::find(taken.end()), &taken);
  EXPECT_NE(region::find(taken.begin - 1), &taken);
}

TEST(region, run_given_back_has_no_owner_and_comes_back_zero) {
  extent taken;
  region::take(taken, 2);
  const std::uintptr_t begin = taken.begin;
  std::memset(reinterpret_cast<void*>(begin), 0xa5, taken.size);
  region::give_back(taken);
  EXPECT_EQ(region::find(begin), nullptr);

  ASSERT_TRUE(region::take_at(taken, begin, 2));
  for (std::size_t i = 0; i < taken.size; i += 8)
    ASSERT_EQ(*reinterpret_cast<std::uint64_t*>(begin + i), 0u) << i;
  region::give_back(taken);
}

TEST(region, nothing_is_placed_near_a_4_gib_boundary) {
  std::vector<std::unique_ptr<run>> runs;
  std::uintptr_t lowest = ~std::uintptr_t{0};
  std::uintptr_t highest = 0;
  for (int i = 0; i < 70; ++i) {  // more than 4 GiB
    for (const std::size_t granules :
         {granules_per_chunk / 2, std::size_t{5}, std::size_t{1}, granules_per_chunk / 2}) {
      runs.push_back(std::make_unique<run>(granules));
      EXPECT_TRUE(within_margins(*runs.back())) << std::hex << runs.back()->begin;
      lowest = std::min(lowest, runs.back()->begin);
      highest = std::max(highest, runs.back()->end());
    }
  }
  EXPECT_NE(lowest >> 32, highest >> 32) << "no boundary was passed";

  extent refused;
  const std::uintptr_t boundary = highest >> 32 << 32;
  EXPECT_FALSE(region::take_at(refused, boundary, 1));
  EXPECT_FALSE(region::take_at(refused, boundary + boundary_margin - granule_size, 1));
  EXPECT_FALSE(region::take_at(refused, boundary - boundary_margin, 1));
  EXPECT_FALSE(region::take_at(refused, boundary - boundary_margin - granule_size, 2));
}

TEST(region, run_longer_than_a_chunk_takes_neighbouring_chunks) {
  for (int again = 0; again < 3; ++again) {
    const run taken(3 * granules_per_chunk + 5);
    EXPECT_TRUE(within_margins(taken));
    EXPECT_EQ(region::find(taken.begin + 2 * chunk_size), &taken);
    EXPECT_EQ(region::find(taken.end() - 1), &taken);
    taken.bytes()[0] = taken.bytes()[taken.size - 1] = 1;
    const run other(3 * granules_per_chunk);
    EXPECT_TRUE(other.end() <= taken.begin || taken.end() <= other.begin);
  }
}

TEST(region, run_longer_than_what_lies_between_two_margins_is_refused_by_size) {
  extent taken;
  const std::string error = error_of([&] { region::take(taken, largest_run / granule_size + 1); });
  EXPECT_NE(error.find(std::to_string(largest_run)), std::string::npos) << error;
  EXPECT_EQ(taken.size, 0u);
}

TEST(region, take_at_refuses_what_is_taken_or_may_not_be_used) {
  const run taken(4);
  extent other;
  EXPECT_FALSE(region::take_at(other, taken.begin, 1));
  EXPECT_FALSE(region::take_at(other, taken.begin + 3 * granule_size, 1));
  EXPECT_FALSE(region::take_at(other, taken.begin + 1, 1));
  EXPECT_FALSE(region::take_at(other, taken.begin, 0));
  EXPECT_FALSE(region::take_at(other, region_end, 1));
  EXPECT_FALSE(region::take_at(other, region_begin - granule_size, 1));
  EXPECT_FALSE(region::take_at(other, ~std::uintptr_t{0} / granule_size * granule_size, 1));
  EXPECT_FALSE(region::take_at(other, region_begin, ~std::size_t{0}));
  EXPECT_EQ(region::find(taken.begin), &taken);
}

/// A chunk that nothing has used yet.
std::uintptr_t unused_chunk() {
  std::size_t index = region::chunk_count - 3;
  while (region::directory[index].load() != nullptr) --index;
  return region_begin + index * chunk_size;
}

TEST(region, take_at_leaves_other_peoples_mappings_alone) {
  const std::uintptr_t chunk = unused_chunk();
  const std::uintptr_t begin = chunk + chunk_size / 2;
  void* const foreign = mmap(reinterpret_cast<void*>(begin), granule_size, PROT_READ | PROT_WRITE,
                             MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  ASSERT_EQ(reinterpret_cast<std::uintptr_t>(foreign), begin);
  *static_cast<int*>(foreign) = 42;
  extent taken;
  EXPECT_FALSE(region::take_at(taken, begin, 1));
  EXPECT_FALSE(region::take_at(taken, begin + 4 * granule_size, 1));
  EXPECT_EQ(*static_cast<int*>(foreign), 42);
  munmap(foreign, granule_size);
  EXPECT_TRUE(region::take_at(taken, begin, 1));
  region::give_back(taken);
}

TEST(region, chunk_mapped_for_a_home_is_not_used_for_new_runs) {
  extent home;
  ASSERT_TRUE(region::take_at(home, unused_chunk() + chunk_size / 2, 1));
  for (int i = 0; i < 100; ++i) {
    const run fresh(1);
    EXPECT_NE(fresh.begin / chunk_size, home.begin / chunk_size);
  }
  region::give_back(home);
}

TEST(region, find_first_sees_a_run_that_begins_before_or_inside) {
  const run taken(4);
  EXPECT_EQ(region::find_first(taken.begin + granule_size, 1), &taken);
  EXPECT_EQ(region::find_first(taken.begin - 1, 2), &taken);
  EXPECT_EQ(region::find_first(taken.end() - 1, ~std::size_t{0}), &taken);
  EXPECT_EQ(region::find_first(taken.begin, 0), nullptr);
  EXPECT_EQ(region::find_first(0, region_begin), nullptr);
  EXPECT_EQ(region::find_first(region_end, ~std::size_t{0}), nullptr);
}

TEST(region, holes_are_filled_again) {
  std::vector<std::unique_ptr<run>> runs;
  for (std::size_t i = 0; i < 8 * granules_per_chunk / 4; ++i) runs.push_back(std::make_unique<run>(4));
  std::size_t mapped = 0;
  for (const auto& chunk : region::directory) mapped += chunk.load() != nullptr;
  for (int round = 0; round < 3; ++round) {
    for (std::size_t i = 0; i < runs.size(); i += 2) runs[i] = nullptr;
    for (std::size_t i = 0; i < runs.size(); i += 2) runs[i] = std::make_unique<run>(i % 4 == 0 ? 4 : 3);
  }
  std::size_t mapped_then = 0;
  for (const auto& chunk : region::directory) mapped_then += chunk.load() != nullptr;
  EXPECT_EQ(mapped_then, mapped);
}

// Sanitizers reserve more than any limit; emulators do not pass it on.
#if !STACKLESS_ASAN && !STACKLESS_TSAN && !STACKLESS_EMULATED
TEST(region, small_address_space_limit_is_named) {
  const child limited([](int out) {
    const rlimit small = {std::size_t{1} << 20, std::size_t{1} << 20};
    setrlimit(RLIMIT_AS, &small);
    const std::string error = error_of([] {
      extent taken[3];  // other tests may have mapped enough for one
      for (extent& each : taken) region::take(each, largest_run / granule_size);
    });
    [[maybe_unused]] const ssize_t written = write(out, error.data(), error.size());
    return 0;
  });
  EXPECT_EQ(limited.status, 0);
  EXPECT_NE(limited.output.find("RLIMIT_AS is 1048576"), std::string::npos) << limited.output;
  EXPECT_NE(limited.output.find("cannot map"), std::string::npos) << limited.output;
}
#endif

#if !STACKLESS_TSAN  // the region lies elsewhere there
constexpr char pinned[] = "120000000000";
constexpr std::uintptr_t pinned_address = 0x1200'0000'0000;

TEST(region, arena_pins_the_start_and_occupied_chunks_are_skipped) {
  if (std::getenv("STACKLESS_ARENA") == nullptr) {
    // The start is chosen once, so the test proper runs in a process of its own.
    const child again([](int) {
      setenv("STACKLESS_ARENA", pinned, 1);
      auto line = command_line(std::filesystem::read_symlink("/proc/self/exe"), {"--gtest_filter=region.arena_pins*"});
      std::vector<char*> words;
      for (std::string& word : line) words.push_back(word.data());
      words.push_back(nullptr);
      execvp(words[0], words.data());
      return 127;
    });
    EXPECT_EQ(again.status, 0);
    return;
  }
  const run first(1);
  EXPECT_EQ(first.begin, pinned_address + boundary_margin);
  const std::uintptr_t in_the_way = pinned_address + chunk_size + chunk_size / 2;
  void* const foreign = mmap(reinterpret_cast<void*>(in_the_way), granule_size, PROT_READ | PROT_WRITE,
                             MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  ASSERT_EQ(reinterpret_cast<std::uintptr_t>(foreign), in_the_way);
  const run second(granules_per_chunk);
  EXPECT_EQ(second.begin, pinned_address + 2 * chunk_size);
  const run third(2 * granules_per_chunk);
  EXPECT_EQ(third.begin, pinned_address + 3 * chunk_size);
}
#endif

TEST(region, arena_outside_of_the_region_is_an_error_that_says_so) {
  const char* const before = std::getenv("STACKLESS_ARENA");
  const std::string kept = before != nullptr ? before : "";
  for (const char* wrong : {"7f0000000000", "1", "here", "0x", "1200 0000"}) {
    setenv("STACKLESS_ARENA", wrong, 1);
    std::size_t chunk = 0;
    region::failure why;
    EXPECT_FALSE(stackless::arch::arena::start(chunk, why)) << wrong;
    const std::string error = error_of([&] { why.raise(); });
    EXPECT_NE(error.find("STACKLESS_ARENA"), std::string::npos) << error;
  }
  before != nullptr ? setenv("STACKLESS_ARENA", kept.c_str(), 1) : unsetenv("STACKLESS_ARENA");
}

TEST(region, random_starts_differ_and_leave_room_to_grow) {
  std::vector<std::size_t> starts;
  for (int i = 0; i < 8; ++i) {
    starts.push_back(stackless::arch::arena::random_start());
    EXPECT_LT(starts.back(), region::chunk_count / 4 * 3);
  }
  EXPECT_NE(std::count(starts.begin(), starts.end(), starts[0]), 8);
}

}  // namespace
