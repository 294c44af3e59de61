// Handles in several threads: whoever drops the last one, wherever that is.

#include <array>
#include <atomic>
#include <memory>
#include <random>
#include <stackless/error.hpp>
#include <string>
#include <vector>

#include "elsewhere.hpp"
#include "tests/core/leaving.hpp"

namespace {

using stackless::channel;
using stackless::run;
using stackless::schedule;
using stackless::schedule_remove;
using stackless::tasklet;

class handles : public with_threads {};

TEST_F(handles, last_one_dropped_in_another_thread_unwinds_the_tasklet_in_its_own) {
  std::thread::id unwound_in;
  struct leaving_in {
    std::thread::id& id;
    ~leaving_in() { id = this_thread(); }
  };
  tasklet t([&] {
    const leaving_in l{unwound_in};
    schedule_remove();
  });
  run();
  std::thread([mine = std::move(t)] {}).join();
  schedule();
  run();
  EXPECT_EQ(unwound_in, this_thread());
}

TEST_F(handles, last_one_dropped_in_another_thread_drops_one_that_never_started) {
  const auto kept = std::make_shared<int>(0);
  tasklet t = tasklet::bound([copy = kept] {});
  std::thread([mine = std::move(t)] {}).join();
  stackless::poll();
  EXPECT_EQ(kept.use_count(), 1);
}

TEST_F(handles, last_one_dropped_in_another_thread_lets_a_scheduled_one_live) {
  bool ran = false;
  {
    tasklet t([&] { ran = true; });
    std::thread([mine = std::move(t)] {}).join();
  }
  run();
  EXPECT_TRUE(ran);
}

TEST_F(handles, last_one_dropped_in_another_thread_after_the_end_frees_the_record) {
  tasklet t([] {});
  run();
  std::thread([mine = std::move(t)] {}).join();
}

TEST_F(handles, last_one_dropped_elsewhere_when_the_thread_has_ended_frees_the_record) {
  elsewhere there;
  tasklet ended = there.get<tasklet>([] {
    tasklet t([] {});
    run();
    return t;
  });
  tasklet paused = there.get<tasklet>([] { return tasklet::bound([] {}); });
  there.end();
}

TEST_F(handles, one_received_through_a_channel_works_as_any_other) {
  channel<tasklet> c;
  bool left = false;
  std::thread other([&] {
    tasklet t = c.receive();
    EXPECT_TRUE(t.alive());
    tasklet copy = t;
    t.kill();
  });
  {
    tasklet t([&] {
      const leaving l{left};
      schedule_remove();
    });
    run();
    c.send(std::move(t));
  }
  other.join();
  run();
  EXPECT_TRUE(left);
}

TEST_F(handles, queue_of_a_channel_gives_one_to_any_thread) {
  channel<int> c;
  tasklet t([&] { c.receive(); });
  run();
  std::thread([&] {
    const auto first = c.queue();
    ASSERT_TRUE(first);
    EXPECT_EQ(*first, t);
    EXPECT_TRUE(first->blocked());
  }).join();
  c.send(1);
}

/// Copies and drops of four threads at random, while the tasklets pause, run, end and are forgotten.
void shuffle(unsigned seed) {
  constexpr std::size_t threads = 4, tasklets = 8;
  constexpr int steps = 2000;
  std::atomic<int> unwound = 0;
  struct counting {
    std::atomic<int>& n;
    ~counting() { ++n; }
  };
  std::array<channel<tasklet>, threads> inboxes;
  std::atomic<std::size_t> made = 0, busy = threads;
  std::vector<thread_of_kind> all;
  for (std::size_t me = 0; me != threads; ++me) {
    all.emplace_back([&, me] {
      std::mt19937 random(seed + static_cast<unsigned>(me));
      std::vector<tasklet> mine;
      for (std::size_t i = 0; i != tasklets; ++i) {
        ++made;
        mine.emplace_back([&, turns = random() % 5] {
          const counting c{unwound};
          for (unsigned turn = 0; turn != turns; ++turn) schedule_remove();
        });
      }
      for (int i = 0; i != steps; ++i) {
        if (mine.empty()) {
          if (auto got = inboxes[me].try_receive()) mine.push_back(std::move(*got));
          schedule();
          continue;
        }
        const std::size_t at = random() % mine.size();
        switch (random() % 6) {
          case 0: mine.push_back(mine[at]); break;
          case 1: mine.erase(mine.begin() + static_cast<std::ptrdiff_t>(at)); break;
          case 2: inboxes[random() % threads].try_send(tasklet(mine[at])); break;
          case 3:
            if (auto got = inboxes[me].try_receive()) mine.push_back(std::move(*got));
            break;
          case 4: schedule(); break;
          case 5:
            try {
              if (mine[at].alive()) mine[at].insert();
            } catch (const stackless::state_error&) {
              // It has ended meanwhile.
            }
            break;
        }
        if (i % 50 == 0) {
          // Somebody waits for each inbox now and then, so that handles are on their way while they are dropped.
          tasklet([&, me] { inboxes[me].receive(); });
          schedule();
        }
      }
      mine.clear();
      --busy;
      while (busy != 0) {
        schedule();
        std::this_thread::yield();
      }
      for (channel<tasklet>& inbox : inboxes) {
        while (auto got = inbox.try_receive()) got.reset();
        while (inbox.balance() < 0) {
          if (auto waits = inbox.queue()) {
            try {
              waits->kill();
            } catch (const stackless::state_error&) {
            }
          }
          schedule();
        }
      }
      run();
    });
  }
  for (thread_of_kind& each : all) each.join();
  EXPECT_EQ(unwound.load(), static_cast<int>(made)) << "with seed " << seed;
}

TEST_F(handles, are_copied_and_dropped_by_four_threads_at_random) {
  for (unsigned seed : {1u, 2u, 3u}) shuffle(seed);
}

}  // namespace
