// Exceptions belong to the tasklet that throws or handles them, whatever way it gives way in the middle.

#include <gtest/gtest.h>

#include <array>
#include <exception>
#include <functional>
#include <memory>
#include <ostream>
#include <stackless/channel.hpp>
#include <stackless/error.hpp>
#include <stackless/scheduler.hpp>
#include <stackless/tasklet.hpp>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

namespace {

using stackless::channel;
using stackless::current;
using stackless::run;
using stackless::runcount;
using stackless::schedule;
using stackless::schedule_remove;
using stackless::tasklet;
using stackless::TaskletExit;

struct labelled {
  int label;
};

int label_of(const std::exception_ptr& e) {
  try {
    std::rethrow_exception(e);
  } catch (const labelled& l) {
    return l.label;
  }
}

template <class F>
struct at_exit {
  F f;
  ~at_exit() noexcept(false) { f(); }
};
template <class F>
at_exit(F) -> at_exit<F>;

/// One way to give way, with the tasklets it needs to meet. Runs until `use` of two tasklets has been through
/// it.
struct path {
  const char* name;
  void (*with)(const std::function<void(std::function<void()>)>& use);
};

void PrintTo(const path& p, std::ostream* to) { *to << p.name; }

const path paths[] = {
    {"schedule", [](auto& use) { use([] { schedule(); }); }},
    {"send to a waiting receiver",
     [](auto& use) {
       channel<int> c;
       tasklet sink([&] {
         for (;;) c.receive();
       });
       schedule();
       use([&] { c.send(1); });
       sink.kill();
     }},
    {"send that waits",
     [](auto& use) {
       channel<int> c;
       c.preference(1);
       tasklet([&] {
         for (int i = 0; i < 8; ++i) schedule();
         while (c.balance() > 0) c.receive();
       });
       use([&] { c.send(1); });
     }},
    {"receive that waits",
     [](auto& use) {
       channel<int> c;
       tasklet([&] {
         for (int i = 0; i < 8; ++i) schedule();
         while (c.balance() < 0) c.send(1);
       });
       use([&] { c.receive(); });
     }},
    {"receive that runs the sender",
     [](auto& use) {
       channel<int> c;
       c.preference(1);
       for (int i = 0; i < 8; ++i) tasklet([&] { c.send(1); });
       schedule();
       use([&] { c.receive(); });
       while (c.balance() > 0) c.receive();
       run();
     }},
    {"schedule_remove",
     [](auto& use) {
       std::vector<tasklet> sleepers;
       tasklet([&] {
         for (int i = 0; i < 8; ++i) schedule();
         while (!sleepers.empty()) {
           tasklet t = sleepers.back();
           sleepers.pop_back();
           t.run();
         }
       });
       use([&] {
         sleepers.push_back(current());
         schedule_remove();
       });
     }},
    {"stackless::run", [](auto& use) { use([] { run(); }); }},
    {"tasklet::run", [](auto& use) { use([] { tasklet::bound([] { schedule(); }).run(); }); }},
    {"kill",
     [](auto& use) {
       use([] {
         tasklet victim([] {
           at_exit give_way{[] { schedule(); }};
           schedule_remove();
         });
         victim.run();
         victim.kill();
       });
     }},
    {"end of a tasklet that handled an exception",
     [](auto& use) {
       use([] {
         tasklet([] {
           try {
             throw labelled{99};
           } catch (const labelled&) {
             schedule();
           }
         });
         schedule();
       });
     }},
};

class exceptions : public testing::TestWithParam<path> {
 protected:
  void TearDown() override {
    EXPECT_EQ(runcount(), 1u);
    EXPECT_EQ(std::uncaught_exceptions(), 0);
    EXPECT_EQ(std::current_exception(), nullptr);
  }
};

INSTANTIATE_TEST_SUITE_P(every_path, exceptions, testing::ValuesIn(paths), [](const auto& which) {
  std::string name = which.param.name;
  for (char& c : name) {
    if (c == ' ' || c == ':') c = '_';
  }
  return name;
});

/// Two tasklets with different exceptions run `body` by turns, through the path. Each must come to its end.
void two(const path& by, const std::function<void(int label, const std::function<void()>& give_way)>& body) {
  int ended = 0;
  by.with([&](std::function<void()> give_way) {
    for (int label : {1, 2}) {
      tasklet([&, label] {
        body(label, give_way);
        ++ended;
      });
    }
    run();
  });
  EXPECT_EQ(ended, 2) << by.name;
}

TEST_P(exceptions, yield_inside_catch_then_throw_again) {
  two(GetParam(), [](int label, auto& give_way) {
    try {
      try {
        throw labelled{label};
      } catch (const labelled&) {
        give_way();
        throw;
      }
    } catch (const labelled& again) {
      EXPECT_EQ(again.label, label);
    }
  });
}

TEST_P(exceptions, yield_inside_nested_catches) {
  two(GetParam(), [](int label, auto& give_way) {
    std::vector<int> seen;
    try {
      try {
        throw labelled{label * 10};
      } catch (const labelled& outer) {
        give_way();
        try {
          try {
            throw labelled{label * 10 + 1};
          } catch (const labelled&) {
            give_way();
            throw;
          }
        } catch (const labelled& inner) {
          give_way();
          seen.push_back(inner.label);
        }
        seen.push_back(outer.label);
        give_way();
        throw;
      }
    } catch (const labelled& outer) {
      seen.push_back(outer.label);
    }
    EXPECT_EQ(seen, (std::vector{label * 10 + 1, label * 10, label * 10}));
  });
}

TEST_P(exceptions, current_exception_is_the_tasklets_own) {
  two(GetParam(), [](int label, auto& give_way) {
    EXPECT_EQ(std::current_exception(), nullptr);
    give_way();
    EXPECT_EQ(std::current_exception(), nullptr);
    try {
      throw labelled{label};
    } catch (const labelled&) {
      give_way();
      EXPECT_EQ(label_of(std::current_exception()), label);
    }
    EXPECT_EQ(std::current_exception(), nullptr);
  });
}

TEST_P(exceptions, yield_in_a_destructor_during_unwinding) {
  two(GetParam(), [](int label, auto& give_way) {
    int inside = -1, after = -1;
    try {
      at_exit watch{[&] {
        inside = std::uncaught_exceptions();
        give_way();
        after = std::uncaught_exceptions();
      }};
      throw labelled{label};
    } catch (const labelled& l) {
      EXPECT_EQ(l.label, label);
      EXPECT_EQ(std::uncaught_exceptions(), 0);
    }
    EXPECT_EQ(inside, 1);
    EXPECT_EQ(after, 1);
  });
}

TEST(uncaught, of_a_tasklet_reaches_main_blocked_in_receive) {
  channel<int> c;
  tasklet([] { throw labelled{7}; });
  try {
    c.receive();
    FAIL();
  } catch (const labelled& l) {
    EXPECT_EQ(l.label, 7);
  }
  EXPECT_EQ(c.balance(), 0);
}

TEST(uncaught, of_a_tasklet_reaches_main_blocked_in_send_and_drops_its_value) {
  channel<std::shared_ptr<int>> c;
  auto value = std::make_shared<int>(1);
  tasklet([] { throw labelled{7}; });
  EXPECT_THROW(c.send(value), labelled);
  EXPECT_EQ(c.balance(), 0);
  EXPECT_EQ(value.use_count(), 1);
}

TEST(uncaught, of_a_tasklet_reaches_main_waiting_for_its_turn) {
  tasklet([] { throw labelled{7}; });
  EXPECT_THROW(schedule(), labelled);
}

TEST(uncaught, surfaces_at_whoever_runs_the_tasklet) {
  tasklet t = tasklet::bound([] { throw labelled{7}; });
  EXPECT_THROW(t.run(), labelled);
  EXPECT_FALSE(t.alive());
}

TEST(uncaught, first_error_of_two_in_one_round_is_told_by_this_run_and_the_second_by_the_next) {
  for (int label : {1, 2}) tasklet([label] { throw labelled{label}; });
  for (int label : {1, 2}) {
    try {
      run();
      FAIL();
    } catch (const labelled& l) {
      EXPECT_EQ(l.label, label);
    }
  }
  run();
}

TEST(uncaught, exception_keeps_its_message_after_its_tasklet_and_the_memory_are_gone) {
  tasklet([] { throw std::runtime_error(std::string(200, 'x')); });
  std::exception_ptr kept;
  try {
    run();
  } catch (...) {
    kept = std::current_exception();
  }
  for (int i = 0; i < 100; ++i) tasklet([] {});
  run();
  try {
    std::rethrow_exception(kept);
  } catch (const std::runtime_error& e) {
    EXPECT_EQ(e.what(), std::string(200, 'x'));
  }
}

TEST(uncaught, thrown_from_a_destructor_while_killed_reaches_the_killer) {
  tasklet t([] {
    at_exit throws{[] { throw labelled{3}; }};
    try {
      schedule_remove();
    } catch (const TaskletExit&) {
    }
  });
  run();
  EXPECT_THROW(t.kill(), labelled);
  EXPECT_FALSE(t.alive());
}

}  // namespace
