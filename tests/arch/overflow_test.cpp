#include "arch/overflow.hpp"

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstring>
#include <string>
#include <thread>

#include "arch/guard.hpp"

// A sanitizer has SIGSEGV and the alternate stacks itself, and nothing is done here.
#if !STACKLESS_ASAN && !STACKLESS_TSAN
namespace {

namespace overflow = stackless::arch::overflow;
using testing::ExitedWithCode;
using testing::KilledBySignal;

void say(const char* text) {
  [[maybe_unused]] const ssize_t written = write(STDERR_FILENO, text, std::strlen(text));
}

char* const nowhere = reinterpret_cast<char*>(0x1230);

void witness(const void* address) noexcept {
  say(address == nowhere ? "seen," : "seen elsewhere,");
}

void fault() {
  say("faulting,");
  *static_cast<volatile char*>(nowhere) = 1;
}

void program_handler(int) {
  say("program");
  _exit(7);
}

void set_handler(void (*handler)(int), int flags = 0) {
  struct sigaction action = {};
  action.sa_handler = handler;
  action.sa_flags = flags;
  sigaction(SIGSEGV, &action, nullptr);
}

/// Nothing but `text` on stderr. An emulator adds that a signal ended the program.
std::string said(const std::string& text) { return "^" + text + "(qemu: .*)?$"; }

char memory[64 << 10];

void set_alternate_stack(int flags) {
  stack_t its = {};
  its.ss_sp = memory;
  its.ss_size = sizeof memory;
  its.ss_flags = flags;
  sigaltstack(&its, nullptr);
}

stack_t alternate_stack() {
  stack_t present = {};
  sigaltstack(nullptr, &present);
  return present;
}

// Everything happens in children: this process stays as it is.

TEST(overflow, witness_is_told_of_the_address_and_then_the_kernel_ends_the_process) {
  EXPECT_EXIT(
      {
        overflow::watch_unless_handled(witness);
        if (overflow::watches()) fault();
      },
      KilledBySignal(SIGSEGV), said("faulting,seen,"));
}

TEST(overflow, handler_of_the_program_is_left_alone) {
  EXPECT_EXIT(
      {
        set_handler(program_handler);
        overflow::watch_unless_handled(witness);
        if (!overflow::watches()) fault();
      },
      ExitedWithCode(7), "^faulting,program$");
}

TEST(overflow, program_that_ignores_the_signal_or_has_an_alternate_stack_is_left_alone) {
  EXPECT_EXIT(
      {
        set_handler(SIG_IGN);
        overflow::watch_unless_handled(witness);
        raise(SIGSEGV);
        _exit(overflow::watches() ? 1 : 0);
      },
      ExitedWithCode(0), "^$");
  EXPECT_EXIT(
      {
        set_alternate_stack(0);
        overflow::watch_unless_handled(witness);
        _exit(overflow::watches() ? 1 : 0);
      },
      ExitedWithCode(0), "^$");
}

TEST(overflow, handler_of_the_program_is_called_after_the_witness_if_it_is_to_be_watched_nevertheless) {
  EXPECT_EXIT(
      {
        set_handler(program_handler);
        overflow::watch(witness);
        fault();
      },
      ExitedWithCode(7), "^faulting,seen,program$");
  EXPECT_EXIT(
      {
        struct sigaction action = {};
        action.sa_flags = SA_SIGINFO;
        action.sa_sigaction = [](int, siginfo_t* info, void* context) {
          say(info->si_addr == nowhere && context != nullptr ? "program" : "wrong");
          _exit(7);
        };
        sigaction(SIGSEGV, &action, nullptr);
        overflow::watch(witness);
        fault();
      },
      ExitedWithCode(7), "^faulting,seen,program$");
}

TEST(overflow, handler_that_is_to_be_called_once_is_called_once) {
  EXPECT_EXIT(
      {
        set_handler([](int) { say("program,"); }, static_cast<int>(SA_RESETHAND));
        overflow::watch(witness);
        fault();
      },
      KilledBySignal(SIGSEGV), said("faulting,seen,program,"));
}

TEST(overflow, handler_that_came_later_and_passes_the_signal_on_is_not_called_by_the_one_it_calls) {
  EXPECT_EXIT(
      {
        overflow::watch(witness);
        static struct sigaction earlier;
        struct sigaction action = {};
        action.sa_flags = SA_SIGINFO;
        action.sa_sigaction = [](int signal, siginfo_t* info, void* context) {
          say("later,");
          earlier.sa_sigaction(signal, info, context);
        };
        sigaction(SIGSEGV, &action, &earlier);
        overflow::watch(witness);
        fault();
      },
      KilledBySignal(SIGSEGV), said("faulting,later,seen,"));
}

TEST(overflow, signal_that_somebody_sends_is_no_fault_and_does_what_it_did) {
  EXPECT_EXIT(
      {
        overflow::watch(witness);
        raise(SIGSEGV);
        say("still there");
      },
      KilledBySignal(SIGSEGV), said(""));
  EXPECT_EXIT(
      {
        set_handler(SIG_IGN);
        overflow::watch(witness);
        raise(SIGSEGV);
        say("still there");
        _exit(0);
      },
      ExitedWithCode(0), "^still there$");
}

TEST(overflow, nothing_is_seen_any_more_once_it_is_switched_off) {
  EXPECT_EXIT(
      {
        overflow::watch(witness);
        overflow::stop_watching();
        struct sigaction present = {};
        sigaction(SIGSEGV, nullptr, &present);
        if (present.sa_handler == SIG_DFL && !overflow::watches()) fault();
      },
      KilledBySignal(SIGSEGV), said("faulting,"));
}

TEST(overflow, child_of_a_fork_is_watched_too) {
  EXPECT_EXIT(
      {
        overflow::watch(witness);
        const pid_t child = fork();
        if (child == 0) fault();
        int status = 0;
        waitpid(child, &status, 0);
        _exit(WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV ? 0 : 1);
      },
      ExitedWithCode(0), said("faulting,seen,"));
}

TEST(overflow, alternate_stack_has_a_guard_and_lives_as_long_as_its_thread) {
  char* its = nullptr;
  std::thread([&] {
    overflow::provide_alternate_stack();
    overflow::provide_alternate_stack();
    const stack_t present = alternate_stack();
    EXPECT_EQ(present.ss_flags & SS_DISABLE, 0);
    EXPECT_GE(present.ss_size, std::size_t{64} << 10);
    its = static_cast<char*>(present.ss_sp);
    std::memset(its, 1, present.ss_size - 1);
    EXPECT_TRUE(stackless::arch::guard::faults(its - stackless::arch::guard::page_size()));
    EXPECT_FALSE(stackless::arch::guard::faults(its));
  }).join();
  EXPECT_TRUE(stackless::arch::guard::faults(its));
}

TEST(overflow, alternate_stack_that_a_thread_has_stays) {
  std::thread([] {
    set_alternate_stack(0);
    overflow::provide_alternate_stack();
    EXPECT_EQ(alternate_stack().ss_sp, memory);
    set_alternate_stack(SS_DISABLE);
  }).join();
}

}  // namespace
#endif
