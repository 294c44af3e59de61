#pragma once

/// The tests run three times. STACKLESS_TEST_STACK says on which stacks tasklets without options live: unset: on stacks
/// of their own; sliced: in a single slot that all of them share, so that each switch between two of them moves their
/// stacks; strict: each in a slot that is closed whenever another tasklet runs.

#include <cstdlib>
#include <string_view>

#include <stackless/tasklet_options.hpp>

inline bool stacks_are(std::string_view kind) {
  const char* const asked = std::getenv("STACKLESS_TEST_STACK");
  return asked != nullptr && asked == kind;
}

/// What the sliced tasklets of this run live in.
inline stackless::shared_slots slots_of_this_run() { return {.count = 1, .strict = stacks_are("strict")}; }
