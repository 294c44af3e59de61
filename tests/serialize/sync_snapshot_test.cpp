// Tasklets that are saved while they wait for a mutex or its kin, or for a group of others.

#include <gtest/gtest.h>

#include <cstring>
#include <memory>
#include <mutex>
#include <span>
#include <stackless/stackless.hpp>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "tests/serialize/from_child.hpp"

namespace {

using stackless::run;
using stackless::tasklet;

using lines = std::vector<std::string>;
lines trace;

class sync_snapshots : public testing::Test {
 protected:
  void SetUp() override { trace = {}; }
  void TearDown() override {
    run();
    EXPECT_EQ(stackless::runcount(), 1u);
  }
};

void note(std::string what) { trace.push_back(std::move(what)); }

struct brought {
  tasklet waiter;
  void* shared;
};

/// What `make` returns, come back from a child process: a tasklet, and what it shares in the picklable heap.
template <class Make>
brought with_shared(Make make) {
  void* shared = nullptr;
  const auto bytes = bytes_from_child([&] {
    const auto [t, s] = make();
    auto saved = stackless::dumps(t);
    const void* address = s.get();
    const auto* raw = reinterpret_cast<const std::byte*>(&address);
    saved.insert(saved.end(), raw, raw + sizeof address);
    return saved;
  });
  const auto snapshot = std::span(bytes).first(bytes.size() - sizeof shared);
  std::memcpy(&shared, snapshot.data() + snapshot.size(), sizeof shared);
  return {stackless::loads(snapshot), shared};
}

void acquire_from(const std::shared_ptr<stackless::semaphore>& s, int n) {
  s->acquire();
  note(std::to_string(n) + " acquired");
}

TEST_F(sync_snapshots, semaphore_in_the_heap_brings_those_who_wait) {
  const auto [u, shared] = with_shared([] {
    auto s = std::make_shared<stackless::semaphore>(0);
    const tasklet first(acquire_from, s, 1), second(acquire_from, s, 2);
    run();
    return std::pair(first, s);
  });
  EXPECT_TRUE(u.blocked());
  auto& s = *static_cast<stackless::semaphore*>(shared);
  s.release();
  run();
  EXPECT_EQ(trace, lines{"1 acquired"});
  s.release();
  run();
  EXPECT_EQ(trace, (lines{"1 acquired", "2 acquired"}));
}

TEST_F(sync_snapshots, permit_that_was_given_before_it_was_saved_is_there_still) {
  auto [u, shared] = with_shared([] {
    auto s = std::make_shared<stackless::semaphore>(0);
    const tasklet first(acquire_from, s, 1), second(acquire_from, s, 2);
    run();
    s->release();
    return std::pair(first, s);
  });
  EXPECT_FALSE(u.blocked());
  u.kill();  // the permit goes on to the second
  run();
  EXPECT_EQ(trace, lines{"2 acquired"});
}

stackless::channel<void> global;

void lock_and(const std::shared_ptr<stackless::mutex>& m, const std::string& name, bool wait) {
  const std::lock_guard locked(*m);
  if (wait) global.receive();
  note(name);
}

TEST_F(sync_snapshots, mutex_in_the_heap_brings_the_tasklet_that_has_it) {
  const tasklet u = brought_back([] {
    const auto m = std::make_shared<stackless::mutex>();
    tasklet(lock_and, m, "owner", true);
    tasklet waits(lock_and, m, "waiter", false);
    run();
    return waits;
  });
  EXPECT_TRUE(u.blocked());
  ASSERT_EQ(global.balance(), -1);
  global.send();
  run();
  EXPECT_EQ(trace, (lines{"owner", "waiter"}));
  EXPECT_FALSE(u.alive());
}

TEST_F(sync_snapshots, mutex_that_main_has_is_the_new_mains) {
  const auto [u, shared] = with_shared([] {
    auto m = std::make_shared<stackless::mutex>();
    m->lock();
    tasklet waits(lock_and, m, "waiter", false);
    stackless::schedule();
    return std::pair(waits, m);
  });
  EXPECT_TRUE(u.blocked());
  static_cast<stackless::mutex*>(shared)->unlock();
  run();
  EXPECT_EQ(trace, lines{"waiter"});
}

TEST_F(sync_snapshots, mutex_that_the_running_tasklet_has_is_refused) {
  const auto m = std::make_shared<stackless::mutex>();
  tasklet waits;
  tasklet([&] {
    const std::lock_guard locked(*m);
    waits.bind(lock_and, m, "waiter", false).insert();
    stackless::schedule();
    EXPECT_THROW(stackless::dumps(waits), stackless::snapshot_error);
  });
  run();
  EXPECT_EQ(trace, lines{"waiter"});
}

stackless::event global_event;

TEST_F(sync_snapshots, one_that_waits_for_a_global_event_waits_for_the_new_processs) {
  const tasklet u = brought_back([] {
    tasklet t([] {
      global_event.wait();
      note("went on");
    });
    run();
    return t;
  });
  EXPECT_TRUE(u.blocked());
  global_event.set();
  run();
  EXPECT_EQ(trace, lines{"went on"});
}

TEST_F(sync_snapshots, wait_group_of_a_saved_frame_is_waited_for_still) {
  tasklet u = brought_back([] {
    tasklet t({.stack = stackless::stack::own}, [] {
      stackless::wait_group work;
      work.add();
      tasklet part([&] {
        global.receive();
        note("part");
        work.done();
      });
      work.wait();
      note("all");
    });
    run();
    return t;
  });
  EXPECT_TRUE(u.blocked());
  global.send();
  run();
  EXPECT_EQ(trace, (lines{"part", "all"}));
}

TEST_F(sync_snapshots, group_comes_back_with_its_tasklets_and_takes_their_errors) {
  tasklet u = brought_back([] {
    tasklet t([] {
      stackless::group g;
      g.spawn([] {
        global.receive();
        throw std::runtime_error("boom");
      });
      g.spawn([&] {
        try {
          stackless::heap::make<stackless::channel<void>>()->receive();
        } catch (const stackless::TaskletExit&) {
          note("killed");
          throw;
        }
      });
      try {
        g.wait();
      } catch (const std::runtime_error& e) {
        note(e.what());
      }
    });
    run();
    return t;
  });
  EXPECT_TRUE(u.blocked());
  global.send();
  run();
  EXPECT_EQ(trace, (lines{"killed", "boom"}));
  EXPECT_FALSE(u.alive());
}

}  // namespace
