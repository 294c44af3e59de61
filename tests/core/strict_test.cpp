// Strict slots: whoever uses a pointer into the stack of a parked sliced tasklet is found out, and nobody else.

#include <gtest/gtest.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <functional>
#include <stackless/channel.hpp>
#include <stackless/error.hpp>
#include <stackless/overflow.hpp>
#include <stackless/scheduler.hpp>
#include <stackless/tasklet.hpp>
#include <string>
#include <thread>
#include <vector>

#include "core/access.hpp"
#include "core/slot.hpp"
#include "tests/child.hpp"
#include "tests/stack_kind.hpp"

namespace {

using stackless::channel;
using stackless::run;
using stackless::schedule;
using stackless::schedule_remove;
using stackless::slot;
using stackless::tasklet;

constexpr stackless::tasklet_options own{.stack = stackless::stack::own};
constexpr stackless::tasklet_options sliced{.stack = stackless::stack::sliced};

slot* slot_of(const tasklet& t) { return stackless::tasklet_access::record(t)->stack; }

class strict_slots : public testing::Test {
 protected:
  void SetUp() override { stackless::share_slots({.strict = true}); }
  void TearDown() override {
    run();
    stackless::share_slots(slots_of_this_run());
    EXPECT_EQ(stackless::runcount(), 1u);
    EXPECT_FALSE(stackless::detail::here().heeds(stackless::detail::attention::strict));
  }
};

/// A tasklet that has lent the address of a local, and is parked.
struct lender {
  int* lent = nullptr;
  tasklet t = tasklet(sliced, [this] {
    int answer = 0;
    lent = &answer;
    schedule_remove();
  });

  lender() {
    t.name("lender");
    run();
  }
};

void use(int* p) { *const_cast<volatile int*>(p) = 42; }

/// The same, having said which address that is.
void trespass(int* p) {
  std::fprintf(stderr, "%p\n", static_cast<void*>(p));
  use(p);
}

/// A child that does `work` trespasses on the stack of the tasklet 'lender', and is told so: `who` did.
void expect_report(const std::string& who, const std::function<void()>& work) {
  const ending e = ending_of_child(work);
  EXPECT_NE(e.status, 0);
#if STACKLESS_ASAN
  EXPECT_NE(e.said.find("use-after-poison"), std::string::npos) << who << ": " << e.said;
#elif STACKLESS_TSAN
  EXPECT_NE(e.said.find("SEGV"), std::string::npos) << who << ": " << e.said;
#else
  EXPECT_TRUE(e.by_fault()) << e.status;
  const std::string address = e.said.substr(0, e.said.find('\n'));
  EXPECT_EQ(e.said, address + "\nstackless: error: " + who + " used " + address +
                        " on the sliced stack of tasklet 'lender', which is parked: with shared slots another tasklet's "
                        "variables are there; keep what others reach in the heap, or give the tasklet a stack of its own\n");
#endif
}

TEST_F(strict_slots, use_by_main_is_reported) {
  expect_report("the main tasklet", [] { trespass(lender().lent); });
}

TEST_F(strict_slots, reading_is_use) {
  expect_report("the main tasklet", [] {
    const lender l;
    std::fprintf(stderr, "%p\n", static_cast<void*>(l.lent));
    _exit(*const_cast<volatile int*>(l.lent));
  });
}

TEST_F(strict_slots, use_by_tasklets_of_every_kind_is_reported_with_their_name) {
  for (const auto& options : {own, sliced}) {
    expect_report("tasklet 'user'", [&] {
      const lender l;
      tasklet user(options, [&l] {
        schedule();
        trespass(l.lent);
      });
      user.name("user");
      run();
    });
  }
  expect_report("a tasklet without a name", [] {
    const lender l;
    tasklet(sliced, trespass, l.lent);
    run();
  });
}

TEST_F(strict_slots, pointer_that_came_through_a_channel_is_reported) {
  expect_report("tasklet 'receiver'", [] {
    const lender l;
    channel<int*> c;
    tasklet receiver(sliced, [&c] { trespass(c.receive()); });
    receiver.name("receiver");
    tasklet(sliced, [&] { c.send(l.lent); });
    run();
  });
}

TEST_F(strict_slots, local_that_is_given_to_a_tasklet_made_there_is_reported) {
  expect_report("tasklet 'made'", [] {
    tasklet t(sliced, [] {
      int answer = 0;
      tasklet made(sliced, [&answer] { trespass(&answer); });
      made.name("made");
      schedule();
    });
    t.name("lender");
    run();
  });
}

#if !STACKLESS_TSAN  // it allows no threads in a process that was forked
TEST_F(strict_slots, use_by_another_thread_is_reported) {
  expect_report("a thread without tasklets", [] {
    const lender l;
    std::thread(trespass, l.lent).join();
  });
  expect_report("the main tasklet", [] {
    const lender l;
    std::thread([&l] {
      stackless::current();
      trespass(l.lent);
    }).join();
  });
}
#endif

TEST_F(strict_slots, after_an_exception_a_kill_and_a_visit_it_is_reported_too) {
  expect_report("the main tasklet", [] {
    const lender l;
    tasklet(sliced, [] {
      try {
        throw 1;
      } catch (int) {
        schedule();
      }
    });
    tasklet t(sliced, [] { schedule_remove(); });
    run();
    t.kill();
    if (!l.t.restorable()) _exit(0);
    trespass(l.lent);
  });
}

// A sanitizer reports by itself, and looks at what system calls are given.
#if !STACKLESS_ASAN && !STACKLESS_TSAN

TEST_F(strict_slots, hook_for_overflows_is_not_told) {
  expect_report("the main tasklet", [] {
    stackless::overflow_hook([](const stackless::overflow&) noexcept { _exit(1); });
    trespass(lender().lent);
  });
}

TEST_F(strict_slots, overflow_of_a_strict_stack_is_one) {
  const ending e = ending_of_child([] {
    tasklet t(sliced, [] {
      schedule();
      use(reinterpret_cast<int*>(slot_of(stackless::current())->floor() - sizeof(int)));
    });
    tasklet(sliced, [] {});
    run();
  });
  EXPECT_TRUE(e.by_fault());
  EXPECT_NE(e.said.find("stack overflow in a tasklet without a name"), std::string::npos) << e.said;
}

TEST_F(strict_slots, wild_pointer_to_a_guard_is_a_plain_fault) {
  const ending e = ending_of_child([] {
    const lender l;
    use(reinterpret_cast<int*>(slot_of(l.t)->floor() - sizeof(int)));
  });
  EXPECT_TRUE(e.by_fault());
  EXPECT_EQ(e.said, "");
}

TEST_F(strict_slots, kernel_does_not_write_there_either) {
  lender l;
  int ends[2];
  ASSERT_EQ(pipe(ends), 0);
  ASSERT_EQ(write(ends[1], "answer", 6), 6);
  EXPECT_EQ(read(ends[0], l.lent, sizeof *l.lent), -1);
  EXPECT_EQ(errno, EFAULT);
  close(ends[0]);
  close(ends[1]);
  l.t.kill();
}

#endif

TEST_F(strict_slots, tasklet_may_lend_what_it_likes_while_it_runs) {
  int answer = 0;
  tasklet(sliced, [&answer] {
    int local = 0;
    for (int i = 0; i != 3; ++i) {
      use(&local);
      schedule();
    }
    answer = local;
  });
  run();
  EXPECT_EQ(answer, 42);
}

TEST_F(strict_slots, each_has_a_slot_to_itself_that_is_closed_unless_it_runs) {
  std::vector<tasklet> all;
  for (int i = 0; i != 3; ++i) {
    all.emplace_back(sliced, [] {
      EXPECT_FALSE(slot_of(stackless::current())->closed);
      schedule();
      EXPECT_FALSE(slot_of(stackless::current())->closed);
    });
  }
  const tasklet alone(own, [] { schedule(); });
  schedule();
  EXPECT_NE(slot_of(all[0]), slot_of(all[1]));
  EXPECT_NE(slot_of(all[0]), slot_of(all[2]));
  EXPECT_NE(slot_of(all[1]), slot_of(all[2]));
  for (const tasklet& each : all) EXPECT_TRUE(slot_of(each)->closed);
  EXPECT_FALSE(slot_of(alone)->closed);
}

TEST_F(strict_slots, only_those_who_leave_one_are_led_out_of_line) {
  const auto is_led = [] { return stackless::detail::here().heeds(stackless::detail::attention::strict); };
  const tasklet a(sliced, [&] {
    EXPECT_TRUE(is_led());
    schedule();
    EXPECT_TRUE(is_led());
  });
  const tasklet b(own, [&] {
    EXPECT_FALSE(is_led());
    schedule();
    EXPECT_FALSE(is_led());
  });
  EXPECT_FALSE(is_led());
  run();
  EXPECT_FALSE(is_led());
}

TEST_F(strict_slots, slot_that_is_given_back_can_be_used_by_all) {
  const auto is_open = [](const slot* s) {
    volatile char* const byte = reinterpret_cast<char*>(s->floor());
    *byte = 1;
    return !s->closed && s->sole_tenant == nullptr;
  };
  const tasklet never_started = tasklet::bound(sliced, [] {});
  const slot* const first = slot_of(never_started);
  tasklet(never_started).kill();
  EXPECT_TRUE(is_open(first));
  const tasklet killed(sliced, [] { schedule_remove(); });
  const slot* const second = slot_of(killed);
  run();
  tasklet(killed).kill();
  const tasklet ended(sliced, [] {});
  const slot* const third = slot_of(ended);
  run();
  const tasklet after(own, [] {});  // the one that ended last gives back its slot
  EXPECT_TRUE(is_open(second));
  EXPECT_TRUE(third == slot_of(after) || is_open(third));
}

TEST_F(strict_slots, how_much_was_used_is_known_of_those_that_are_parked) {
  tasklet t(sliced, [] {
    auto* const block = static_cast<volatile char*>(__builtin_alloca(50'000));
    for (int i = 0; i != 50'000; ++i) block[i] = 1;
    schedule_remove();
  });
  EXPECT_LE(t.stack_high_water(), t.stack_size());
  EXPECT_TRUE(slot_of(t)->closed);
  run();
  EXPECT_GE(t.stack_high_water(), 50'000u);
  EXPECT_TRUE(slot_of(t)->closed);
  t.kill();
}

TEST_F(strict_slots, visitor_leaves_it_closed) {
  lender l;
  EXPECT_TRUE(l.t.restorable());
  EXPECT_TRUE(slot_of(l.t)->closed);
  bool restorable = false;
  tasklet(sliced, [&] { restorable = l.t.restorable(); });
  run();
  EXPECT_TRUE(restorable);
  EXPECT_TRUE(slot_of(l.t)->closed);
  l.t.kill();
}

TEST_F(strict_slots, tasklet_stays_what_it_was_made_as) {
  const tasklet strict(sliced, [] { schedule(); });
  stackless::share_slots({.count = 1});
  const tasklet a(sliced, [] { schedule(); }), b(sliced, [] { schedule(); });
  EXPECT_EQ(slot_of(a), slot_of(b));
  schedule();
  EXPECT_TRUE(slot_of(strict)->closed);
  EXPECT_FALSE(slot_of(a)->closed);
}

TEST_F(strict_slots, what_cannot_be_had_is_refused_and_changes_nothing) {
  EXPECT_THROW(stackless::share_slots({.count = 0, .strict = false}), stackless::error);
  EXPECT_THROW(stackless::share_slots({.count = 0, .strict = true}), stackless::error);
  EXPECT_THROW(stackless::share_slots({.stack_size = 1, .strict = false}), stackless::error);
  const tasklet still_strict(sliced, [] {});
  EXPECT_TRUE(slot_of(still_strict)->closed);
  stackless::share_slots({.stack_size = 1 << 20, .strict = true});
  const tasklet larger({.stack = stackless::stack::sliced, .stack_size = 1 << 20}, [] {});
  EXPECT_GE(larger.stack_size(), std::size_t{1} << 20);
  EXPECT_TRUE(slot_of(larger)->closed);
}

}  // namespace
