// Groups: tasklets that end together, and what becomes of their errors.

#include <gtest/gtest.h>

#include <memory>
#include <optional>
#include <stackless/group.hpp>
#include <stackless/result.hpp>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "tests/core/trace.hpp"

namespace {

using stackless::group;
using stackless::when;

const std::string deadlock = "deadlock_error: Deadlock: the last runnable tasklet cannot be blocked";
const std::string ending = "state_error: the group is ending, for it was cancelled or one of it has failed";

void receive_in_vain() { stackless::heap::make<channel<int>>()->receive(); }

/// Waits for what never comes, and says how it ends.
void wait_in_vain(const char* name) {
  out(name, err([] { receive_in_vain(); }));
  throw TaskletExit{};
}

[[noreturn]] void fail(const char* text) { throw std::runtime_error(text); }

/// Catches TaskletExit so many times.
void refuse_to_end(int times) {
  for (; times > 0; --times) {
    try {
      schedule_remove();
    } catch (const TaskletExit&) {
      out("refused");
    }
  }
}

class groups : public semantics_case {};

TEST_F(groups, all_are_waited_for) {
  group g;
  for (int n : {1, 2, 3}) {
    g.spawn([n] {
      for (int i = n; i < 3; ++i) schedule();
      out(n);
    });
  }
  g.wait();
  out("main");
  EXPECT_EQ(trace, (lines{"3", "2", "1", "main"}));
}

TEST_F(groups, empty_one_is_not_waited_for) {
  group g;
  spawn_out("other");
  g.wait();
  out("main");
  run();
  EXPECT_EQ(trace, (lines{"main", "other"}));
}

TEST_F(groups, callable_and_arguments_are_moved_in) {
  group g;
  int sum = 0;
  const tasklet t = g.spawn([&, p = std::make_unique<int>(1)](std::unique_ptr<int> q, int n) { sum = *p + *q + n; },
                            std::make_unique<int>(2), 3);
  EXPECT_STREQ(st(t), "scheduled");
  g.wait();
  EXPECT_EQ(sum, 6);
}

TEST_F(groups, those_that_spawn_into_the_group_are_waited_for_as_well) {
  group g;
  g.spawn([&] {
    schedule();
    g.spawn([&] {
      schedule();
      g.spawn([] {
        schedule();
        out("third");
      });
    });
  });
  g.wait();
  out("main");
  EXPECT_EQ(trace, (lines{"third", "main"}));
}

TEST_F(groups, one_that_fails_has_the_others_killed_and_wait_throws_its_error) {
  group g;
  g.spawn(wait_in_vain, "a");
  g.spawn([] {
    schedule();
    fail("boom");
  });
  g.spawn(wait_in_vain, "b");
  out(err([&] { g.wait(); }));
  EXPECT_EQ(trace, (lines{"a TaskletExit", "b TaskletExit", "error: boom"}));
}

TEST_F(groups, one_that_has_not_started_when_another_fails_never_runs) {
  group g;
  g.spawn(fail, "boom");
  g.spawn([] { out("never"); });
  out(err([&] { g.wait(); }));
  EXPECT_EQ(trace, lines{"error: boom"});
}

TEST_F(groups, first_of_several_errors_is_thrown) {
  group g;
  g.spawn([] {
    try {
      receive_in_vain();
    } catch (const TaskletExit&) {
      fail("second");
    }
  });
  g.spawn(fail, "first");
  g.spawn(fail, "never begun");
  EXPECT_EQ(err([&] { g.wait(); }), "error: first");
}

TEST_F(groups, error_is_thrown_when_all_have_ended_and_by_nobody_else) {
  std::vector<std::string> handled;
  const auto before = stackless::set_error_handler([&](std::exception_ptr) { handled.emplace_back("handler"); });
  spawn([] {
    group g;
    g.spawn([] {
      finally f{"cleanup"};
      try {
        receive_in_vain();
      } catch (const TaskletExit&) {
        schedule();
        throw;
      }
    });
    g.spawn(fail, "boom");
    out(err([&] { g.wait(); }));
  });
  out("run", err([] { run(); }));
  stackless::set_error_handler(before);
  EXPECT_TRUE(handled.empty());
  EXPECT_EQ(trace, (lines{"cleanup", "error: boom", "run returned"}));
}

TEST_F(groups, one_that_is_killed_by_somebody_has_not_failed) {
  group g;
  tasklet a = g.spawn(wait_in_vain, "a");
  const tasklet b = g.spawn([] { schedule(); });
  schedule();
  a.kill();
  EXPECT_FALSE(a.alive());
  g.spawn([] { out("goes on"); });
  g.wait();
  EXPECT_EQ(trace, (lines{"a TaskletExit", "goes on"}));
}

TEST_F(groups, nothing_begins_in_one_that_is_ending) {
  group g;
  g.spawn(fail, "boom");
  g.spawn([&] { out("never"); });
  run();
  EXPECT_EQ(err([&] { g.spawn([] {}); }), ending);
  EXPECT_EQ(err([&] { g.wait(); }), "error: boom");
  g.cancel();
  EXPECT_EQ(err([&] { g.spawn([] {}); }), ending);
  g.wait();
}

TEST_F(groups, it_may_be_used_again_when_it_was_waited_for) {
  group g;
  g.spawn(fail, "boom");
  EXPECT_EQ(err([&] { g.wait(); }), "error: boom");
  g.spawn([] { out("again"); });
  g.wait();
  EXPECT_EQ(trace, lines{"again"});
}

TEST_F(groups, cancel_kills_all) {
  group g;
  g.spawn(wait_in_vain, "a");
  g.spawn([] {
    finally f{"b"};
    schedule_remove();
  });
  schedule();
  g.spawn([] { out("never"); });
  g.cancel();
  out("cancelled");
  g.wait();
  EXPECT_EQ(trace, (lines{"cancelled", "a TaskletExit", "b"}));
}

TEST_F(groups, one_of_the_group_may_cancel_it_and_ends) {
  group g;
  g.spawn(wait_in_vain, "a");
  g.spawn([&] {
    finally f{"b"};
    g.cancel();
    out("never");
  });
  g.wait();
  EXPECT_EQ(trace, (lines{"b", "a TaskletExit"}));
}

TEST_F(groups, destructor_kills_what_is_left_and_waits_for_it) {
  {
    group g;
    g.spawn([] {
      finally f{"a has ended"};
      try {
        receive_in_vain();
      } catch (const TaskletExit&) {
        schedule();
        schedule();
        throw;
      }
    });
    schedule();
    g.spawn([] { out("never"); });
  }
  out("main");
  EXPECT_EQ(trace, (lines{"a has ended", "main"}));
}

TEST_F(groups, exception_of_the_owner_ends_its_group_on_its_way) {
  spawn([] {
    out(err([] {
      group g;
      g.spawn(wait_in_vain, "a");
      schedule();
      fail("boom");
    }));
  });
  run();
  EXPECT_EQ(trace, (lines{"a TaskletExit", "error: boom"}));
}

TEST_F(groups, kill_goes_down_the_tree) {
  tasklet root([] {
    finally f{"root"};
    group g;
    g.spawn([] {
      finally inner_ends{"branch"};
      group inner;
      inner.spawn([] {
        finally leaf_ends{"leaf"};
        receive_in_vain();
      });
      inner.wait();
    });
    g.wait();
  });
  run();
  root.kill();
  run();
  EXPECT_FALSE(root.alive());
  EXPECT_EQ(trace, (lines{"leaf", "branch", "root"}));
}

TEST_F(groups, error_goes_up_the_tree_and_ends_the_other_branches) {
  group g;
  g.spawn([] {
    group inner;
    inner.spawn(wait_in_vain, "a");
    inner.wait();
  });
  g.spawn([] {
    group inner;
    inner.spawn(wait_in_vain, "b");
    inner.spawn([] {
      schedule();
      fail("boom");
    });
    inner.wait();
  });
  out(err([&] { g.wait(); }));
  EXPECT_EQ(trace, (lines{"b TaskletExit", "a TaskletExit", "error: boom"}));
}

TEST_F(groups, owner_that_is_killed_while_its_destructor_waits_ends_when_all_have) {
  channel<int> permission;
  tasklet owner([&] {
    finally f{"owner"};
    {
      group g;
      g.spawn([&] {
        finally ends{"child"};
        try {
          receive_in_vain();
        } catch (const TaskletExit&) {
          permission.receive();
          throw;
        }
      });
      schedule();
    }
    schedule();
    out("never");
  });
  while (permission.balance() == 0) schedule();
  EXPECT_TRUE(owner.blocked());
  owner.kill();
  EXPECT_TRUE(owner.blocked());
  permission.send(0);
  run();
  EXPECT_EQ(trace, (lines{"child", "owner"}));
}

TEST_F(groups, error_that_wait_has_not_thrown_is_thrown_by_the_owners_next_operation) {
  {
    group g;
    g.spawn(fail, "boom");
    schedule();
  }
  EXPECT_EQ(err([] { schedule(); }), "error: boom");
  EXPECT_EQ(err([] { schedule(); }), "returned");
}

TEST_F(groups, error_that_wait_has_not_thrown_leaves_an_owner_that_ends) {
  stackless::result<void> owner([] {
    group g;
    g.spawn(fail, "boom");
    schedule();
  });
  out(err([] { run(); }));
  EXPECT_EQ(trace, lines{"error: boom"});
}

TEST_F(groups, error_that_wait_has_not_thrown_is_dropped_while_another_unwinds_the_owner) {
  out(err([] {
    group g;
    g.spawn(fail, "dropped");
    schedule();
    fail("boom");
  }));
  out(err([] { schedule(); }));
  EXPECT_EQ(trace, (lines{"error: boom", "returned"}));
}

TEST_F(groups, exception_thrown_into_one_who_waits_leaves_the_group_as_it_is) {
  channel<int> c;
  tasklet owner([&] {
    group g;
    g.spawn([&] { out(c.receive()); });
    out(err([&] { g.wait(); }));
    g.wait();
    out("owner");
  });
  run();
  owner.raise(std::runtime_error("look up"));
  c.send(7);
  run();
  EXPECT_EQ(trace, (lines{"error: look up", "7", "owner"}));
}

TEST_F(groups, main_that_waits_for_one_that_nobody_wakes_is_told_and_ends_it) {
  out(err([] {
        group g;
        g.spawn([] {
          finally f{"ended"};
          schedule_remove();
        });
        g.wait();
      }).substr(0, 15));
  EXPECT_EQ(trace, (lines{"ended", "deadlock_error:"}));
}

TEST_F(groups, one_that_would_block_as_the_last_fails_and_wait_throws_that) {
  group g;
  g.spawn([] { receive_in_vain(); });
  EXPECT_EQ(err([&] { g.wait(); }), deadlock);
}

TEST_F(groups, one_that_refuses_to_end_is_killed_again_when_nobody_else_can_run) {
  {
    group g;
    g.spawn(refuse_to_end, 3);
    schedule();
  }
  EXPECT_EQ(trace, (lines{"refused", "refused", "refused"}));
}

TEST_F(groups, destructor_waits_where_blocking_is_trapped) {
  {
    group g;
    g.spawn(wait_in_vain, "a");
    schedule();
    current().block_trap(true);
    EXPECT_EQ(err([&] { g.wait(); }), "trap_error: this tasklet does not like to be blocked");
  }
  EXPECT_TRUE(current().block_trap());
  current().block_trap(false);
  EXPECT_EQ(trace, lines{"a TaskletExit"});
}

TEST_F(groups, only_the_owner_waits) {
  group g;
  const std::string refused = "state_error: a group is waited for by the tasklet that made it";
  g.spawn([&] { out(err([&] { g.wait(); })); });
  spawn([&] { out(err([&] { g.wait(); })); });
  g.wait();
  run();
  EXPECT_EQ(trace, (lines{refused, refused}));
}

TEST_F(groups, other_threads_keep_their_hands_off) {
  group g;
  const std::string refused = "state_error: the tasklet belongs to another thread";
  std::thread([&] {
    out(err([&] { g.spawn([] {}); }));
    out(err([&] { g.cancel(); }));
  }).join();
  EXPECT_EQ(trace, (lines{refused, refused}));
}

TEST_F(groups, those_that_have_ended_are_not_kept) {
  group g;
  int living = 0;
  struct counted {
    explicit counted(int& n) : count(&n) { ++*count; }
    counted(counted&& other) noexcept : count(std::exchange(other.count, nullptr)) {}
    ~counted() {
      if (count != nullptr) --*count;
    }
    int* count;
  };
  std::size_t most = 0;
  for (int i = 0; i != 1000; ++i) {
    g.spawn([](const counted&) {}, counted(living));
    most = std::max(most, runcount());
    schedule();
  }
  EXPECT_EQ(living, 0);
  EXPECT_LE(most, 3u);
  g.wait();
}

class groups_death : public groups {};

TEST_F(groups_death, one_that_never_ends_stops_the_program) {
  EXPECT_DEATH(
      {
        group g;
        g.spawn(refuse_to_end, 100);
        schedule();
      },
      "they catch TaskletExit again and again");
}

TEST_F(groups_death, destruction_where_switching_is_forbidden_stops_the_program) {
  EXPECT_DEATH(
      {
        group g;
        g.spawn(wait_in_vain, "a");
        stackless::switch_trap(1);
      },
      "switching is forbidden");
}

TEST_F(groups_death, destruction_by_one_of_its_own_stops_the_program) {
  EXPECT_DEATH(
      {
        std::optional<group> g(std::in_place);
        g->spawn([&] { g.reset(); });
        schedule();
      },
      "by one of them");
}

}  // namespace
