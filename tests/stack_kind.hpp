#pragma once

/// The tests run three times. STACKLESS_TEST_STACK says on which stacks tasklets without options live: unset: on stacks
/// of their own; sliced: in a single slot that all of a thread share, so that each switch between two of them moves their
/// stacks; strict: each in a slot that is closed whenever another tasklet runs.

#include <cstdlib>
#include <string_view>
#include <thread>
#include <utility>

#include <stackless/tasklet_options.hpp>

inline bool stacks_are(std::string_view kind) {
  const char* const asked = std::getenv("STACKLESS_TEST_STACK");
  return asked != nullptr && asked == kind;
}

/// What the sliced tasklets of this run live in.
inline stackless::shared_slots slots_of_this_run() { return {.count = 1, .strict = stacks_are("strict")}; }

/// The calling thread's tasklets do so from now on.
void use_stack_kind();

/// A thread whose tasklets do so from the beginning.
class thread_of_kind : public std::thread {
 public:
  template <class F>
  explicit thread_of_kind(F f)
      : std::thread([f = std::move(f)]() mutable {
          use_stack_kind();
          f();
        }) {}
};
