// Locks across fork().

#include "arch/fork.hpp"

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <string>

namespace {

using stackless::arch::fork_hook;

std::string trace;

template <char name>
void held() noexcept {
  trace += name;
}

// In no order; the last of two of one level comes first.
const fork_hook middle(11, held<'m'>, held<'M'>);
const fork_hook outer(12, held<'o'>, held<'O'>, held<'!'>);
const fork_hook inner(10, held<'i'>, held<'I'>);
const fork_hook beside_middle(11, held<'n'>, held<'N'>);

TEST(fork, locks_are_taken_from_the_outermost_on_and_the_child_is_told_before_they_are_released) {
  trace.clear();
  const pid_t child = fork();
  if (child == 0) _exit(trace == "onmi!ONMI" ? 0 : 1);
  EXPECT_EQ(trace, "onmiONMI");
  int status = -1;
  waitpid(child, &status, 0);
  EXPECT_TRUE(WIFEXITED(status));
  EXPECT_EQ(WEXITSTATUS(status), 0);
}

}  // namespace
