// Addresses that the library's own functions leave on a stack, and that get into what a tasklet holds: nobody
// means them.

#if defined(__GNUC__) && !defined(__clang__)
// libstdc++ copies the states of a std::regex with bytes that were never set, and GCC sees it.
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#endif

#include <gtest/gtest.h>

#include <cstdint>
#include <memory>
#include <regex>
#include <stackless/stackless.hpp>
#include <string>

#include "arch/region.hpp"
#include "core/access.hpp"
#include "tests/serialize/from_child.hpp"

namespace {

using stackless::run;
using stackless::schedule_remove;
using stackless::tasklet;

std::string told;

/// The address of something that the library keeps for itself, as its functions leave them on every stack.
std::uintptr_t leftover() {
  const auto* record = stackless::tasklet_access::record(stackless::current());
  return reinterpret_cast<std::uintptr_t>(
      stackless::arch::region::find(reinterpret_cast<std::uintptr_t>(record)));
}

TEST(leftovers, in_a_block_do_not_keep_it_from_being_saved) {
  struct holder {
    std::uintptr_t word;
  };
  tasklet copy = brought_back([] {
    tasklet t([] {
      const std::unique_ptr<holder> held(new holder{leftover()});
      schedule_remove();
      told = "went on";
      (void)*static_cast<const volatile holder*>(held.get());
    });
    t.run();
    return t;
  });
  copy.insert();
  run();
  EXPECT_EQ(told, "went on");
}

/// Leaves the stack below the caller's frame full of `word`.
[[gnu::noinline]] void fill_stack_below(std::uintptr_t word) {
  volatile std::uintptr_t words[1024];
  for (volatile auto& each : words) each = word;
}

TEST(leftovers, in_a_regex_do_not_keep_it_from_coming_back) {
  // The states of its automaton are built on the stack and copied with their unused bytes.
  tasklet copy = brought_back([] {
    tasklet t([] {
      fill_stack_below(leftover());
      const std::regex pattern("(a+)(b*)[[:digit:]]+", std::regex::icase);
      schedule_remove();
      told = std::regex_match("aaBB1", pattern) ? "matches" : "does not match";
    });
    t.run();
    return t;
  });
  copy.insert();
  run();
  EXPECT_EQ(told, "matches");
}

}  // namespace
