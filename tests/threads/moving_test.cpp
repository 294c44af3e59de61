// Tasklets that their thread gives to another.

#include <atomic>
#include <memory>
#include <optional>
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

class moving : public with_threads {};

TEST_F(moving, G04_inserting_another_threads_tasklet_wakes_a_thread_that_serves) {
  channel<tasklet> out;
  channel<std::thread::id> in;
  thread_of_kind server([&] {
    tasklet t([&] {
      schedule_remove();
      in.send(this_thread());
    });
    tasklet([&] { out.send(t); });
    run({.serve = true});
  });
  tasklet t = out.receive();
  while (!t.paused()) nap();
  t.insert();
  EXPECT_EQ(in.receive(), server.get_id());
  server.join();
  EXPECT_FALSE(t.alive());
}

TEST_F(moving, paused_one_goes_on_there) {
  elsewhere there;
  std::thread::id ran;
  tasklet t([&] {
    schedule_remove();
    ran = this_thread();
  });
  run();
  t.bind_thread(there.main());
  EXPECT_TRUE(t.paused());
  EXPECT_FALSE(t.orphaned());
  t.insert();
  t.join();
  EXPECT_NE(ran, std::thread::id());
  EXPECT_NE(ran, this_thread());
}

TEST_F(moving, one_that_never_started_starts_there) {
  elsewhere there;
  std::thread::id ran;
  tasklet t = tasklet::bound([&] { ran = this_thread(); });
  t.bind_thread(there.main());
  t.insert();
  t.join();
  EXPECT_NE(ran, std::thread::id());
  EXPECT_NE(ran, this_thread());
}

TEST_F(moving, receiver_stays_in_the_queue_and_goes_on_there) {
  elsewhere there;
  channel<int> c;
  std::thread::id ran;
  int got = 0;
  tasklet t([&] {
    got = c.receive();
    ran = this_thread();
  });
  run();
  t.bind_thread(there.main());
  EXPECT_TRUE(t.blocked());
  EXPECT_EQ(c.balance(), -1);
  c.send(7);
  t.join();
  EXPECT_EQ(got, 7);
  EXPECT_NE(ran, this_thread());
}

TEST_F(moving, to_the_thread_of_any_of_its_tasklets) {
  elsewhere there;
  tasklet other = there.get<tasklet>([] { return tasklet::bound([] {}); });
  std::thread::id ran;
  tasklet t = tasklet::bound([&] { ran = this_thread(); });
  t.bind_thread(other);
  t.insert();
  t.join();
  EXPECT_NE(ran, this_thread());
}

TEST_F(moving, round_and_round_it_runs_in_each_thread) {
  elsewhere a, b;
  const tasklet mains[] = {a.main(), b.main()};
  std::vector<std::thread::id> ran;
  tasklet t([&] {
    for (;;) {
      ran.push_back(this_thread());
      schedule_remove();
    }
  });
  run();
  elsewhere* const threads[] = {&a, &b};
  t.bind_thread(mains[0]);
  for (int i = 0; i != 20; ++i) {
    elsewhere& there = *threads[i % 2];
    there([&] {
      t.insert();
      while (!t.paused()) schedule();
      t.bind_thread(mains[(i + 1) % 2]);
    });
  }
  a([&] {
    t.kill();
    EXPECT_FALSE(t.alive());
  });
  ASSERT_EQ(ran.size(), 21u);
  for (std::size_t i = 3; i != ran.size(); ++i) EXPECT_EQ(ran[i], ran[i - 2]);
  EXPECT_NE(ran[1], ran[2]);
}

thread_local int variable = 0;

TEST_F(moving, address_of_a_thread_local_variable_follows_it_there_and_back) {
  elsewhere there;
  variable = 1;
  there([] { variable = 2; });
  std::vector<int> seen;
  tasklet t([&] {
    int* volatile kept = &variable;
    for (int i = 0; i != 3; ++i) {
      seen.push_back(*kept);
      schedule_remove();
    }
  });
  run();
  const tasklet here = stackless::main_tasklet(), main_there = there.main();
  t.bind_thread(main_there);
  there([&] {
    t.run();
    t.bind_thread(here);
  });
  t.bind_thread();
  t.run();
  EXPECT_EQ(seen, (std::vector<int>{1, 2, 1}));
}

TEST_F(moving, run_that_serves_does_not_wait_for_those_that_have_gone) {
  elsewhere there;
  tasklet t = tasklet::bound([] {});
  t.bind_thread(there.main());
  run({.serve = true});
  t.insert();
  t.join();
}

TEST_F(moving, run_that_serves_waits_for_those_that_have_come) {
  channel<tasklet> main_of;
  channel<void> go_on;
  bool served = false;
  channel<void> keeping;
  thread_of_kind server([&] {
    tasklet([&] { keeping.receive(); });
    tasklet([&] { main_of.send(stackless::main_tasklet()); });
    run({.serve = true});
    served = true;
  });
  tasklet t([&] { go_on.receive(); });
  run();
  t.bind_thread(main_of.receive());
  keeping.send();
  go_on.send();
  server.join();
  EXPECT_TRUE(served);
  EXPECT_FALSE(t.alive());
}

template <class F>
std::string refusal(F f) {
  try {
    f();
  } catch (const stackless::state_error& e) {
    return e.what();
  }
  return "not refused";
}

TEST_F(moving, what_cannot_be_moved_is_refused_and_stays_as_it_is) {
  elsewhere there;
  const tasklet to = there.main();
  tasklet scheduled([] {});
  EXPECT_NE(refusal([&] { scheduled.bind_thread(to); }).find("remove it from the ring"), std::string::npos);
  EXPECT_TRUE(scheduled.scheduled());
  tasklet me = stackless::current();
  EXPECT_NE(refusal([&] { me.bind_thread(to); }).find("main"), std::string::npos);
  std::string of_current;
  tasklet([&] { of_current = refusal([&] { stackless::current().bind_thread(to); }); });
  run();
  EXPECT_NE(of_current.find("remove it from the ring"), std::string::npos) << of_current;
  EXPECT_FALSE(scheduled.alive());

  tasklet foreign = there.get<tasklet>([] { return tasklet::bound([] {}); });
  EXPECT_NE(refusal([&] { foreign.bind_thread(to); }).find("another thread"), std::string::npos);
  EXPECT_NE(refusal([&] { foreign.bind_thread(); }).find("another thread"), std::string::npos);
  EXPECT_TRUE(foreign.paused());
  EXPECT_FALSE(foreign.orphaned());
}

TEST_F(moving, caller_of_run_is_not_moved) {
  elsewhere there;
  const tasklet to = there.main();
  std::string refused;
  tasklet runner([&] {
    tasklet([&, r = stackless::current()]() mutable { refused = refusal([&] { r.bind_thread(to); }); });
    run();
  });
  run();
  EXPECT_NE(refused.find("can run cannot be moved"), std::string::npos) << refused;
  EXPECT_FALSE(runner.alive());
}

TEST_F(moving, to_a_thread_that_has_ended_is_refused) {
  tasklet ended = [] {
    elsewhere there;
    return there.get<tasklet>([] { return tasklet::bound([] {}); });
  }();
  bool ran = false;
  tasklet t([&] {
    int* volatile kept = &variable;
    schedule_remove();
    ran = kept == &variable;
  });
  run();
  EXPECT_NE(refusal([&] { t.bind_thread(ended); }).find("has ended"), std::string::npos);
  EXPECT_TRUE(t.paused());
  t.insert();
  run();
  EXPECT_TRUE(ran);
}

TEST_F(moving, what_reaches_one_on_its_way_reaches_it_there) {
  elsewhere a, b;
  const tasklet to = b.main();
  for (int i = 0; i != 100; ++i) {
    bool left = false;
    tasklet t = a.get<tasklet>([&] {
      tasklet made([&] {
        const leaving l{left};
        schedule_remove();
        schedule_remove();
      });
      run();
      return made;
    });
    channel<void> moved(1);
    a([&] {
      tasklet([&, t]() mutable {
        try {
          t.bind_thread(to);
        } catch (const stackless::state_error&) {
          // It has been made ready before.
        }
        moved.send();
      });
    });
    t.insert();
    t.kill();
    moved.receive();
    t.join();
    EXPECT_TRUE(left);
  }
}

TEST_F(moving, what_its_thread_hears_of_when_it_has_left_is_passed_on) {
  constexpr stackless::tasklet_options own{.stack = stackless::stack::own};  // of all who do not move
  elsewhere a, b;
  const tasklet to = b.main();
  std::thread::id ran;
  tasklet t = a.get<tasklet>([&] { return tasklet::bound([&] { ran = this_thread(); }); });
  // The last handle goes first, so it is the first that the thread hears of.
  std::optional<tasklet> moves_it = a.get<tasklet>([&] {
    return tasklet::bound(own,
                          [moving = std::shared_ptr<void>(nullptr, [&](void*) { t.bind_thread(to); })] {});
  });
  std::atomic<bool> busy = false, told = false;
  a([&] {
    tasklet(own, [&] {
      busy = true;
      while (!told) std::this_thread::yield();
    });
  });
  while (!busy) std::this_thread::yield();
  moves_it.reset();
  t.insert();
  told = true;
  t.join();
  EXPECT_EQ(ran, b.get<std::thread::id>(this_thread));
}

TEST_F(moving, to_a_thread_that_uses_it_at_once) {
  elsewhere there;
  const tasklet to = there.main();
  for (int i = 0; i != 200; ++i) {
    int* seen = nullptr;
    int* its = nullptr;
    channel<void> c;
    tasklet t([&] {
      int* volatile kept = &variable;
      c.receive();
      seen = kept;
    });
    run();
    channel<void> done(1);
    there([&] {
      its = &variable;
      tasklet([&] {
        c.send();
        done.send();
      });
    });
    try {
      t.bind_thread(to);
    } catch (const stackless::state_error&) {
      // It is being woken.
      done.receive();
      t.join();
      continue;
    }
    done.receive();
    t.join();
    EXPECT_EQ(seen, its);
  }
}

}  // namespace
