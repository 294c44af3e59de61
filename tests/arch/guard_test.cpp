#include "arch/guard.hpp"

#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstdio>
#include <cstring>
#include <string>

#include "arch/region.hpp"
#include "tests/child.hpp"

namespace {

namespace guard = stackless::arch::guard;
namespace region = stackless::arch::region;
using stackless::arch::extent;

class guarded_run : public testing::Test {
 protected:
  guarded_run() { region::take(run_, 4); }
  ~guarded_run() override { region::give_back(run_); }

  char* page() const { return reinterpret_cast<char*>(run_.begin); }
  char* next_page() const { return page() + guard::page_size(); }

  extent run_;
};

void touch(volatile char* byte) {
  *byte = 1;
}

TEST_F(guarded_run, program_and_kernel_fault_on_the_guard_and_not_beside_it) {
  EXPECT_FALSE(guard::faults(page()));
  guard::install(page(), guard::page_size());
  EXPECT_TRUE(guard::faults(page()));
  EXPECT_DEATH(touch(page()), "");
  EXPECT_DEATH(touch(next_page() - 1), "");
  touch(next_page());
  EXPECT_FALSE(guard::faults(next_page()));
}

TEST_F(guarded_run, guard_over_a_page_that_was_used) {
  std::memset(page(), 1, 2 * guard::page_size());
  guard::install(page(), guard::page_size());
  EXPECT_TRUE(guard::faults(page()));
  EXPECT_EQ(*next_page(), 1);
}

TEST_F(guarded_run, guard_outlives_the_return_of_pages_to_the_kernel) {
  guard::install(page(), guard::page_size());
  touch(next_page());
  region::discard_pages(reinterpret_cast<std::uintptr_t>(next_page()), run_.size - guard::page_size());
  EXPECT_TRUE(guard::faults(page()));
  EXPECT_EQ(*next_page(), 0);
}

TEST_F(guarded_run, run_given_back_has_no_guard_when_taken_again) {
  guard::install(page(), guard::page_size());
  const std::uintptr_t begin = run_.begin;
  region::give_back(run_);
  ASSERT_TRUE(region::take_at(run_, begin, 4));
  EXPECT_FALSE(guard::faults(page()));
  std::memset(page(), 1, run_.size);
}

TEST_F(guarded_run, removed_guard_is_memory_again) {
  guard::install(page(), guard::page_size());
  EXPECT_TRUE(guard::remove(page(), guard::page_size()));
  touch(page());
}

// Sanitizers and emulators need mappings themselves: they fall with the last one.
#if !STACKLESS_ASAN && !STACKLESS_TSAN && !STACKLESS_EMULATED
TEST(guard, without_mappings_left_is_real_or_an_error_that_names_the_limit) {
  const std::string heard = text_of_child([] {
    // Locked memory takes no mark in the page table, so the guard has to be a mapping.
    const std::size_t size = guard::page_size();
    auto* const pages = static_cast<char*>(
        mmap(nullptr, 5 * size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_LOCKED, -1, 0));
    for (int i = 0; i < 2'000'000; ++i) {
      const int protection = i % 2 == 0 ? PROT_READ : PROT_NONE;
      if (mmap(nullptr, size, protection, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == MAP_FAILED) break;
    }
    std::string text = "installed";
    try {
      guard::install(pages + 2 * size, size);
    } catch (const stackless::memory_error& error) {
      text = error.what();
    }
    if (text == "installed" && guard::faults(pages + 2 * size)) text += " and real";
    return text;
  });
  const bool named = heard.find("/proc/sys/vm/max_map_count is ") != std::string::npos;
  EXPECT_TRUE(named || heard == "installed and real") << heard;
}
#endif

}  // namespace
