// Mutexes, semaphores, wait groups and events between the tasklets of one thread.

#include <memory>
#include <mutex>
#include <stackless/sync.hpp>
#include <stdexcept>
#include <type_traits>

#include "tests/core/trace.hpp"

namespace {

using stackless::event;
using stackless::mutex;
using stackless::semaphore;
using stackless::wait_group;
using stackless::when;

constinit mutex global_mutex;
constinit semaphore global_semaphore(1);
constinit wait_group global_wait_group;
constinit event global_event;

static_assert(!std::is_convertible_v<mutex*, stackless::channel_base*>);
static_assert(!std::is_convertible_v<semaphore*, stackless::channel_base*>);
static_assert(!std::is_convertible_v<wait_group*, stackless::channel_base*>);
static_assert(!std::is_convertible_v<event*, stackless::channel_base*>);

const std::string deadlock = "deadlock_error: Deadlock: the last runnable tasklet cannot be blocked";
const std::string trapped = "trap_error: this tasklet does not like to be blocked";
const std::string destroyed = "state_error: what the tasklet waited on was destroyed";

class sync : public semantics_case {
 protected:
  mutex m;
  semaphore one{1}, none{0};
  wait_group work;
  event happened;
};

TEST_F(sync, globals_are_ready_before_anything_runs) {
  const std::lock_guard locked(global_mutex);
  global_semaphore.acquire();
  global_semaphore.release();
  global_wait_group.wait();
  EXPECT_FALSE(global_event.is_set());
}

TEST_F(sync, mutex_is_had_by_one_at_a_time_and_in_turn) {
  for (char n : {'a', 'b', 'c'}) {
    spawn([&, n] {
      const std::lock_guard locked(m);
      out(n, "in");
      schedule();
      out(n, "out");
    });
  }
  run();
  EXPECT_EQ(trace, (lines{"a in", "a out", "b in", "b out", "c in", "c out"}));
}

TEST_F(sync, mutex_is_handed_over_so_that_nobody_overtakes) {
  m.lock();
  spawn([&] {
    m.lock();
    out("waited");
    m.unlock();
  });
  schedule();
  m.unlock();
  out("free", m.try_lock());
  m.lock();
  out("main");
  m.unlock();
  EXPECT_EQ(trace, (lines{"free false", "waited", "main"}));
}

TEST_F(sync, unlocking_does_not_give_way) {
  m.lock();
  spawn([&] {
    const std::lock_guard locked(m);
    out("other");
  });
  schedule();
  m.unlock();
  out("main");
  run();
  EXPECT_EQ(trace, (lines{"main", "other"}));
}

TEST_F(sync, mutex_can_be_tried) {
  EXPECT_TRUE(m.try_lock());
  EXPECT_FALSE(m.try_lock());
  spawn([&] { out(m.try_lock()); });
  run();
  m.unlock();
  std::unique_lock locked(m, std::try_to_lock);
  EXPECT_TRUE(locked.owns_lock());
  EXPECT_EQ(trace, lines{"false"});
}

TEST_F(sync, mutex_is_not_recursive_and_not_unlocked_by_others) {
  const std::string not_owner = "state_error: the mutex is not the caller's to unlock";
  EXPECT_EQ(err([&] { m.unlock(); }), not_owner);
  m.lock();
  EXPECT_EQ(err([&] { m.lock(); }),
            "state_error: the tasklet has locked this mutex already, and would wait for itself");
  spawn([&] { out(err([&] { m.unlock(); })); });
  run();
  m.unlock();
  EXPECT_EQ(err([&] { m.unlock(); }), not_owner);
  EXPECT_EQ(trace, lines{not_owner});
}

TEST_F(sync, mutex_is_unlocked_where_an_exception_leaves) {
  spawn([&] {
    out(err([&] {
      const std::lock_guard locked(m);
      schedule();
      throw std::runtime_error("boom");
    }));
  });
  schedule();
  const std::lock_guard locked(m);
  EXPECT_EQ(trace, lines{"error: boom"});
}

TEST_F(sync, lock_is_waited_for_inside_of_a_handler) {
  m.lock();
  spawn([&] {
    try {
      throw std::runtime_error("mine");
    } catch (const std::runtime_error&) {
      const std::lock_guard locked(m);
      out(err([] { throw; }));
    }
  });
  spawn([&] {
    try {
      throw std::runtime_error("another's");
    } catch (const std::runtime_error&) {
      schedule();
    }
  });
  schedule();
  m.unlock();
  run();
  EXPECT_EQ(trace, lines{"error: mine"});
}

TEST_F(sync, semaphore_has_so_many_permits) {
  semaphore two(2);
  for (int n : {1, 2, 3}) {
    spawn([&, n] {
      two.acquire();
      out(n);
    });
  }
  run();
  out("main");
  two.release();
  run();
  EXPECT_FALSE(two.try_acquire());
  two.release(2);
  EXPECT_TRUE(two.try_acquire());
  EXPECT_TRUE(two.try_acquire());
  EXPECT_FALSE(two.try_acquire());
  EXPECT_EQ(trace, (lines{"1", "2", "main", "3"}));
}

TEST_F(sync, permits_go_to_those_who_have_waited_longest_and_the_rest_is_kept) {
  for (int n : {1, 2, 3}) {
    spawn([&, n] {
      none.acquire();
      out(n);
    });
  }
  run();
  none.release(2);
  EXPECT_FALSE(none.try_acquire());
  run();
  out("main");
  none.release(2);
  EXPECT_TRUE(none.try_acquire());
  run();
  EXPECT_EQ(trace, (lines{"1", "2", "main", "3"}));
}

TEST_F(sync, main_that_waits_when_all_have_ended_is_told) {
  spawn_out("other");
  EXPECT_EQ(err([&] { none.acquire(); }).substr(0, 15), "deadlock_error:");
  EXPECT_EQ(trace, lines{"other"});
}

TEST_F(sync, wait_group_is_waited_for_until_all_is_done) {
  for (int n : {1, 2}) {
    work.add();
    spawn([&, n] {
      schedule();
      out(n);
      work.done();
    });
  }
  spawn([&] {
    work.wait();
    out("too");
  });
  work.wait();
  out("main");
  run();
  work.wait();
  EXPECT_EQ(trace, (lines{"1", "2", "main", "too"}));
}

TEST_F(sync, wait_group_cannot_go_below_zero) {
  const std::string refused = "state_error: more would be done than was to do";
  EXPECT_EQ(err([&] { work.done(); }), refused);
  work.add(2);
  EXPECT_EQ(err([&] { work.add(-3); }), refused);
  work.add(-2);
  work.wait();
}

TEST_F(sync, event_lets_all_go_on_until_it_is_reset) {
  const auto waiting = [&](std::string name) {
    spawn([&, name] {
      happened.wait();
      out(name);
    });
  };
  waiting("a");
  waiting("b");
  run();
  out("main", happened.is_set());
  happened.set();
  happened.set();
  waiting("c");
  run();
  happened.reset();
  out("main", happened.is_set());
  waiting("d");
  run();
  out("main");
  happened.set();
  run();
  EXPECT_EQ(trace, (lines{"main false", "a", "b", "c", "main false", "main", "d"}));
}

TEST_F(sync, event_that_is_reset_before_they_run_has_happened_for_those_who_waited) {
  spawn([&] {
    happened.wait();
    out("went on");
  });
  schedule();
  happened.set();
  happened.reset();
  run();
  EXPECT_EQ(trace, lines{"went on"});
}

/// Something of each kind that main holds shut, and others wait for.
struct barrier {
  virtual ~barrier() = default;
  virtual void wait() = 0;
  virtual void open() = 0;
};

struct held_mutex : barrier {
  held_mutex() { m.lock(); }
  void wait() override { const std::lock_guard locked(m); }
  void open() override { m.unlock(); }
  mutex m;
};
struct empty_semaphore : barrier {
  void wait() override {
    s.acquire();
    s.release();
  }
  void open() override { s.release(); }
  semaphore s{0};
};
struct busy_wait_group : barrier {
  busy_wait_group() { w.add(); }
  void wait() override { w.wait(); }
  void open() override { w.done(); }
  wait_group w;
};
struct coming_event : barrier {
  void wait() override { e.wait(); }
  void open() override { e.set(); }
  event e;
};

template <class Barrier>
class barriers : public semantics_case {
 protected:
  tasklet waiting(std::string name) {
    return spawn([this, name] { out(name, err([this] { closed->wait(); })); });
  }

  std::unique_ptr<barrier> closed = std::make_unique<Barrier>();
};

struct names {
  template <class T>
  static std::string GetName(int) {
    return std::is_same_v<T, held_mutex>        ? "mutex"
           : std::is_same_v<T, empty_semaphore> ? "semaphore"
           : std::is_same_v<T, busy_wait_group> ? "wait_group"
                                                : "event";
  }
};
using kinds = testing::Types<held_mutex, empty_semaphore, busy_wait_group, coming_event>;
TYPED_TEST_SUITE(barriers, kinds, names);

TYPED_TEST(barriers, all_who_wait_are_blocked_and_go_on_in_their_order) {
  const tasklet a = this->waiting("a"), b = this->waiting("b"), c = this->waiting("c");
  run();
  EXPECT_TRUE(a.blocked() && b.blocked() && c.blocked());
  this->closed->open();
  run();
  EXPECT_EQ(trace, (lines{"a returned", "b returned", "c returned"}));
}

TYPED_TEST(barriers, last_tasklet_that_can_run_does_not_wait) {
  spawn([this] {
    main_tasklet().remove();
    out(err([this] { this->closed->wait(); }));
    main_tasklet().insert();
  });
  schedule();
  this->closed->open();
  this->closed->wait();
  EXPECT_EQ(trace, lines{deadlock});
}

TYPED_TEST(barriers, waiting_is_refused_where_blocking_is) {
  tasklet t = this->waiting("t");
  t.block_trap(true);
  run();
  EXPECT_EQ(trace, lines{"t " + trapped});
}

TYPED_TEST(barriers, opening_does_not_switch_so_it_is_done_where_that_is_forbidden) {
  this->waiting("t");
  run();
  stackless::switch_trap(1);
  this->closed->open();
  stackless::switch_trap(-1);
  run();
  EXPECT_EQ(trace, lines{"t returned"});
}

TYPED_TEST(barriers, killed_waiter_leaves_the_queue) {
  tasklet a = this->waiting("a"), b = this->waiting("b");
  run();
  a.kill();
  this->closed->open();
  run();
  EXPECT_EQ(trace, (lines{"a TaskletExit", "b returned"}));
}

TYPED_TEST(barriers, exception_thrown_into_a_waiter_ends_its_wait_and_it_may_wait_again) {
  tasklet t = spawn([this] {
    out(err([this] { this->closed->wait(); }));
    out(err([this] { this->closed->wait(); }));
  });
  run();
  t.raise(std::runtime_error("boom"));
  EXPECT_TRUE(t.blocked());
  this->closed->open();
  run();
  EXPECT_EQ(trace, (lines{"error: boom", "returned"}));
}

TYPED_TEST(barriers, killed_after_its_turn_has_come_and_before_it_runs_leaves_it_to_the_next) {
  tasklet a = this->waiting("a"), b = this->waiting("b"), c = this->waiting("c");
  run();
  this->closed->open();
  a.kill(when::pending);
  b.throw_exception(std::make_exception_ptr(std::runtime_error("boom")), when::pending);
  run();
  EXPECT_EQ(trace, (lines{"a TaskletExit", "b error: boom", "c returned"}));
  this->closed->wait();
}

TYPED_TEST(barriers, waiters_of_one_that_is_destroyed_are_woken_by_an_error) {
  this->waiting("a");
  this->waiting("b");
  run();
  this->closed.reset();
  run();
  EXPECT_EQ(trace, (lines{"a " + destroyed, "b " + destroyed}));
}

}  // namespace
