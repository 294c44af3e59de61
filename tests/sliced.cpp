// Linked with a program, whose tasklets all share one slot then: each switch between two of them moves their stacks.

#include <stackless/tasklet_options.hpp>

namespace {

[[maybe_unused]] const bool sliced = [] {
  stackless::share_slots({.count = 1});
  stackless::default_options({.stack = stackless::stack::sliced});
  return true;
}();

}  // namespace
