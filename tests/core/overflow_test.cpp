// What is said of a tasklet that has used up its stack.

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <functional>
#include <stackless/overflow.hpp>
#include <stackless/scheduler.hpp>
#include <stackless/tasklet.hpp>
#include <string>
#include <thread>

#include "core/access.hpp"
#include "core/slot.hpp"
#include "tests/child.hpp"

// A sanitizer reports overflows itself.
#if !STACKLESS_ASAN && !STACKLESS_TSAN
namespace {

using stackless::tasklet;

void say(std::string_view text) {
  [[maybe_unused]] const ssize_t written = write(STDERR_FILENO, text.data(), text.size());
}

/// Goes down by frames of so many bytes, further than any stack.
template <std::size_t size>
[[gnu::noinline]] int descend(int depth) {
  volatile char frame[size];
  frame[0] = static_cast<char>(depth);
  if (depth == 1'000'000'000) return 0;
  return descend<size>(depth + 1) + frame[0];
}

constexpr auto endless = [] { descend<100>(0); };

/// Runs `t`, which overflows, having said how large its stack is.
void overflow(tasklet t) {
  say(std::to_string(t.stack_size()) + "\n");
  stackless::run();
}

/// What is said of a tasklet with a stack of `size` bytes.
std::string report(const std::string& who, const std::string& size, const std::string& option = "tasklet_options") {
  return size + "\nstackless: stack overflow in " + who + ": its stack of " + size +
         " bytes is used up; give it more with " + option + "::stack_size, or look for a recursion that does not end\n";
}

std::string first_line(const std::string& text) { return text.substr(0, text.find('\n')); }

TEST(overflow_report, names_the_tasklet_and_its_size_and_the_process_ends_by_the_signal) {
  for (const std::size_t size : {std::size_t{32} << 10, std::size_t{0}, std::size_t{5} << 20}) {
    const ending e = ending_of_child([=] {
      tasklet t({.stack_size = size}, endless);
      t.name("parser");
      overflow(t);
    });
    EXPECT_TRUE(e.by_fault()) << e.status;
    EXPECT_EQ(e.said, report("tasklet 'parser'", first_line(e.said)));
    EXPECT_GE(std::stoul(e.said), size);
  }
}

TEST(overflow_report, one_without_a_name_is_reported_too_and_a_long_name_is_cut) {
  ending e = ending_of_child([] { overflow(tasklet({}, endless)); });
  EXPECT_EQ(e.said, report("a tasklet without a name", first_line(e.said)));
  e = ending_of_child([] {
    tasklet t({}, endless);
    t.name(std::string(10'000, 'x'));
    overflow(t);
  });
  EXPECT_EQ(e.said, report("tasklet '" + std::string(500, 'x') + "'", first_line(e.said)));
}

TEST(overflow_report, sliced_one_gets_more_where_all_of_them_do) {
  const ending e = ending_of_child([] {
    const tasklet beside({.stack = stackless::stack::sliced}, [] { stackless::schedule(); });
    tasklet t({.stack = stackless::stack::sliced}, [] {
      stackless::schedule();
      descend<100>(0);
    });
    t.name("parser");
    overflow(t);
  });
  EXPECT_TRUE(e.by_fault());
  EXPECT_EQ(e.said, report("tasklet 'parser'", first_line(e.said), "shared_slots"));
}

TEST(overflow_report, frames_larger_than_a_page_are_seen) {
  const ending e = ending_of_child([] { overflow(tasklet({}, [] { descend<6000>(0); })); });
  EXPECT_TRUE(e.by_fault());
  EXPECT_EQ(e.said, report("a tasklet without a name", first_line(e.said)));
}

TEST(overflow_report, works_in_every_thread) {
  const ending e = ending_of_child([] {
    tasklet([] {});
    stackless::run();
    std::thread([] { overflow(tasklet({}, endless)); }).join();
  });
  EXPECT_TRUE(e.by_fault());
  EXPECT_EQ(e.said, report("a tasklet without a name", first_line(e.said)));
}

TEST(overflow_report, works_in_the_child_of_a_fork) {
  const ending e = ending_of_child([] {
    tasklet([] {});
    stackless::run();
    const pid_t child = fork();
    if (child == 0) overflow(tasklet({}, endless));
    int status = 0;
    waitpid(child, &status, 0);
    _exit(WIFSIGNALED(status) ? 0 : 1);
  });
  EXPECT_EQ(e.status, 0);
  EXPECT_EQ(e.said, report("a tasklet without a name", first_line(e.said)));
}

TEST(overflow_report, tasklet_that_runs_is_meant_and_not_one_that_gave_way) {
  const ending e = ending_of_child([] {
    tasklet first({}, [] { stackless::schedule(); });
    first.name("first");
    tasklet second({}, [] {
      stackless::schedule();
      descend<100>(0);
    });
    second.name("second");
    overflow(second);
  });
  EXPECT_EQ(e.said, report("tasklet 'second'", first_line(e.said)));
}

TEST(overflow_report, hook_is_told_after_it) {
  const ending e = ending_of_child([] {
    EXPECT_EQ(stackless::overflow_hook([](const stackless::overflow& o) noexcept {
                const stackless::slot& s = *stackless::tasklet_access::record(stackless::current())->stack;
                const auto at = reinterpret_cast<std::uintptr_t>(o.address);
                if (at < s.begin || at >= s.floor() || o.stack_size != s.room()) return;
                say("hook for ");
                say(o.name);
              }),
              nullptr);
    tasklet t({}, endless);
    t.name("parser");
    overflow(t);
  });
  EXPECT_TRUE(e.by_fault());
  EXPECT_EQ(e.said, report("tasklet 'parser'", first_line(e.said)) + "hook for parser");
}

TEST(overflow_report, fault_that_is_none_is_a_plain_fault) {
  const auto ends_silently = [](const std::function<void()>& work) {
    const ending e = ending_of_child([&] {
      tasklet t(work);
      stackless::run();
    });
    EXPECT_TRUE(e.by_fault()) << e.status;
    EXPECT_EQ(e.said, "");
  };
  ends_silently([] {
    volatile int* nothing = nullptr;
    *nothing = 1;
  });
  ends_silently([] { raise(SIGSEGV); });
  ends_silently([] {
    const tasklet other = tasklet::bound({.stack = stackless::stack::own}, [] {});
    const stackless::slot& its = *stackless::tasklet_access::record(other)->stack;
    *reinterpret_cast<volatile char*>(its.floor() - 1) = 1;
  });
  const ending in_main = ending_of_child([] {
    stackless::current();
    volatile int* nothing = nullptr;
    *nothing = 1;
  });
  EXPECT_TRUE(in_main.by_fault());
  EXPECT_EQ(in_main.said, "");
}

TEST(overflow_report, can_be_switched_off_and_on) {
  const ending off = ending_of_child([] {
    stackless::report_overflows(false);
    overflow(tasklet({}, endless));
  });
  EXPECT_TRUE(off.by_fault());
  EXPECT_EQ(off.said, first_line(off.said) + "\n");
  const ending on = ending_of_child([] {
    stackless::report_overflows(false);
    stackless::report_overflows(true);
    overflow(tasklet({}, endless));
  });
  EXPECT_TRUE(on.by_fault());
  EXPECT_EQ(on.said, report("a tasklet without a name", first_line(on.said)));
}

TEST(overflow_report, handler_of_the_program_is_called_after_it_and_for_every_other_fault) {
  const auto with_handler = [](const std::function<void()>& work) {
    return ending_of_child([&] {
      stackless::report_overflows(false);
      struct sigaction action = {};
      action.sa_handler = [](int) {
        say("program");
        _exit(3);
      };
      sigaction(SIGSEGV, &action, nullptr);
      stackless::report_overflows(true);
      work();
    });
  };
  ending e = with_handler([] { overflow(tasklet({}, endless)); });
  EXPECT_EQ(WEXITSTATUS(e.status), 3);
  EXPECT_EQ(e.said, report("a tasklet without a name", first_line(e.said)) + "program");
  e = with_handler([] {
    volatile int* nothing = nullptr;
    *nothing = 1;
  });
  EXPECT_EQ(WEXITSTATUS(e.status), 3);
  EXPECT_EQ(e.said, "program");
}

}  // namespace
#endif
