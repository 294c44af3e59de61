// The tests run twice: with stacks of their own, and with STACKLESS_TEST_STACK=sliced on a single slot that all tasklets
// share, so that each switch between two of them moves their stacks.

#include <gtest/gtest.h>

#include <cstdlib>
#include <stackless/tasklet_options.hpp>
#include <string_view>

namespace {

class stack_kind : public testing::Environment {
  void SetUp() override {
    const char* kind = std::getenv("STACKLESS_TEST_STACK");
    if (kind == nullptr || std::string_view(kind) != "sliced") return;
    stackless::share_slots({.count = 1});
    stackless::default_options({.stack = stackless::stack::sliced});
  }
};

[[maybe_unused]] const testing::Environment* const registered = testing::AddGlobalTestEnvironment(new stack_kind);

}  // namespace
