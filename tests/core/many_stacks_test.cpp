// As many stacks as there can be, each with a guard that is one.

#include <gtest/gtest.h>

#include <stackless/config.hpp>

// Sanitizers keep memory of their own for each stack, and emulators need a mapping for each guard.
#if !STACKLESS_ASAN && !STACKLESS_TSAN && !STACKLESS_EMULATED

#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <iterator>
#include <stackless/channel.hpp>
#include <stackless/memory_error.hpp>
#include <stackless/scheduler.hpp>
#include <stackless/tasklet.hpp>
#include <string>
#include <vector>

#include "arch/guard.hpp"
#include "core/access.hpp"
#include "core/slot.hpp"
#include "tests/child.hpp"
#include "tests/guards.hpp"
#include "tests/resident.hpp"
#include "tests/stack_kind.hpp"

namespace {

using stackless::tasklet;

constexpr stackless::tasklet_options own{.stack = stackless::stack::own};

/// Both ends of the guard are one, and what is above is not.
bool is_guarded(const tasklet& t) {
  const stackless::slot& s = *stackless::tasklet_access::record(t)->stack;
  const auto faults = [](std::uintptr_t at) { return stackless::arch::guard::faults(reinterpret_cast<const void*>(at)); };
  return faults(s.begin) && faults(s.floor() - 1) && !faults(s.floor());
}

TEST(many_stacks, all_are_guarded_and_all_go_on_with_what_they_had) {
  const int most = std::getenv("STACKLESS_LONG") != nullptr ? 1'000'000 : 10'000;
  const int tasklets = guards_are_free() ? most : 10'000;
  constexpr int one_in = 100;
  const std::size_t before = resident();
  std::vector<tasklet> sample;
  stackless::channel<int> gate;
  int right = 0;
  for (int i = 0; i != tasklets; ++i) {
    tasklet t(own, [&, i] {
      const volatile int mine = i;
      right += gate.receive() == mine;
    });
    if (i % one_in == 0) sample.push_back(std::move(t));
  }
  stackless::run();
  EXPECT_EQ(gate.balance(), -tasklets);
  std::printf("%d tasklets, %zu bytes each\n", tasklets, (resident() - before) / static_cast<std::size_t>(tasklets));
  int guarded = 0;
  for (const tasklet& each : sample) guarded += is_guarded(each);
  EXPECT_EQ(guarded, tasklets / one_in);
  for (int i = 0; i != tasklets; ++i) gate.send(i);
  stackless::run();
  EXPECT_EQ(right, tasklets);
}

[[gnu::noinline]] void wait_with_locals(stackless::channel<int>& gate, int number, int& right) {
  std::array<int, 12> mine;
  mine.fill(number);
  asm volatile("" : : "r"(mine.data()) : "memory");
  const int received = gate.receive();
  asm volatile("" : : "r"(mine.data()) : "memory");
  right += std::ranges::all_of(mine, [received](int each) { return each == received; });
}

TEST(many_stacks, sliced_ones_all_go_on_with_what_they_had) {
  // Each that is strict takes a slot, and two mappings.
  const int tasklets = stacks_are("strict") ? 10'000 : std::getenv("STACKLESS_LONG") != nullptr ? 10'000'000 : 100'000;
  const std::size_t before = resident();
  stackless::channel<int> gate;
  int right = 0;
  for (int i = 0; i != tasklets; ++i) {
    tasklet({.stack = stackless::stack::sliced}, wait_with_locals, std::ref(gate), i, std::ref(right));
    if (i % 1000 == 0) stackless::run();  // so that those who have not begun need no memory either
  }
  stackless::run();
  EXPECT_EQ(gate.balance(), -tasklets);
  std::printf("%d sliced tasklets, %zu bytes each\n", tasklets, (resident() - before) / static_cast<std::size_t>(tasklets));
  for (int i = 0; i != tasklets; ++i) gate.send(i);
  stackless::run();
  EXPECT_EQ(right, tasklets);
}

/// From now on the kernel does not know how to mark guards in the page table.
void forget_marks() {
  constexpr unsigned madv_guard_install = 102;
  sock_filter steps[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_madvise, 0, 3),
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, args[2])),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, madv_guard_install, 0, 1),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EINVAL),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  };
  const sock_fprog filter = {.len = std::size(steps), .filter = steps};
  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 || prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter) != 0) _exit(2);
}

/// Uses up all mappings that the kernel lets a process have, but for about `left`.
void use_up_mappings(std::size_t left) {
  const auto size = static_cast<std::size_t>(getpagesize());
  std::vector<void*> last(left);
  for (std::size_t i = 0;; ++i) {
    // Neighbours differ, or they would be one mapping.
    const int protection = i % 2 == 0 ? PROT_READ : PROT_NONE;
    void* const page = mmap(nullptr, size, protection, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (page == MAP_FAILED) break;
    last[i % left] = page;
  }
  for (void* page : last) munmap(page, size);
}

TEST(many_stacks, without_marks_there_are_as_many_as_mappings_and_the_next_is_refused) {
  const std::string heard = text_of_child([] {
    std::vector<tasklet> made;
    made.reserve(10'000);
    int ran = 0;
    forget_marks();
    made.emplace_back(own, [&] { ++ran; });
    use_up_mappings(1000);
    std::string text = "made them all";
    try {
      while (made.size() != made.capacity()) made.emplace_back(own, [&] { ++ran; });
    } catch (const stackless::memory_error& refusal) {
      text = refusal.what();
    }
    std::size_t guarded = 0;
    for (const tasklet& each : made) guarded += is_guarded(each);
    const bool as_before = stackless::runcount() == made.size() + 1;
    stackless::run();
    if (guarded == made.size() && as_before && ran == static_cast<int>(made.size()) && ran > 100) text += ", rightly";
    return text;
  });
  EXPECT_NE(heard.find("max_map_count"), std::string::npos) << heard;
  EXPECT_NE(heard.find("raise it, or use Linux 6.13 or later, rightly"), std::string::npos) << heard;
}

TEST(many_stacks, strict_ones_are_as_many_as_mappings_and_the_next_is_refused) {
  const std::string heard = text_of_child([] {
    std::vector<tasklet> made;
    made.reserve(10'000);
    int ran = 0;
    const auto take_turns = [&] {
      for (int i = 0; i != 3; ++i) stackless::schedule();
      ++ran;
    };
    stackless::share_slots({.strict = true});
    const stackless::tasklet_options sliced{.stack = stackless::stack::sliced};
    made.emplace_back(sliced, take_turns);
    use_up_mappings(1000);
    std::string text = "made them all";
    try {
      while (made.size() != made.capacity()) made.emplace_back(sliced, take_turns);
    } catch (const stackless::memory_error& refusal) {
      text = refusal.what();
    }
    stackless::run();
    if (ran == static_cast<int>(made.size()) && ran > 100) text += ", rightly";
    return text;
  });
  EXPECT_NE(heard.find("max_map_count"), std::string::npos) << heard;
  EXPECT_NE(heard.find("raise it, rightly"), std::string::npos) << heard;
}

}  // namespace
#endif
