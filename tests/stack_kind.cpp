#include "tests/stack_kind.hpp"

#include <gtest/gtest.h>

void use_stack_kind() {
  if (!stacks_are("sliced") && !stacks_are("strict")) return;
  stackless::share_slots(slots_of_this_run());
  stackless::default_options({.stack = stackless::stack::sliced});
}

namespace {

class stack_kind : public testing::Environment {
  void SetUp() override { use_stack_kind(); }
};

[[maybe_unused]] const testing::Environment* const registered = testing::AddGlobalTestEnvironment(new stack_kind);

}  // namespace
