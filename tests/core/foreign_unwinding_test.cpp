// What unwinds a stack and is no C++ exception: exceptions of other languages, and the end of a thread.

#include <gtest/gtest.h>
#include <pthread.h>
#include <unwind.h>

#include <atomic>
#include <exception>
#include <stackless/channel.hpp>
#include <stackless/error.hpp>
#include <stackless/group.hpp>
#include <stackless/result.hpp>
#include <stackless/scheduler.hpp>
#include <stackless/tasklet.hpp>
#include <string>
#include <thread>
#include <vector>

namespace {

using stackless::channel;
using stackless::run;
using stackless::schedule;
using stackless::tasklet;

/// An exception as the runtime of another language throws it.
struct foreign_exception {
  _Unwind_Exception header{};
  int thrown_by = 0;
};

constexpr _Unwind_Exception_Class other_language = 0x4F544845524C414E;
int destroyed = 0;

[[noreturn]] void throw_foreign(int by) {
  auto* e = new foreign_exception;
  e->thrown_by = by;
  e->header.exception_class = other_language;
  e->header.exception_cleanup = [](_Unwind_Reason_Code, _Unwind_Exception* gone) {
    ++destroyed;
    delete reinterpret_cast<foreign_exception*>(gone);
  };
  _Unwind_RaiseException(&e->header);
  std::terminate();  // nobody catches it
}

struct leaving {
  std::vector<int>& left;
  int id;
  ~leaving() { left.push_back(id); }
};

TEST(foreign_exceptions, are_each_tasklets_own_while_it_gives_way_in_a_handler) {
  destroyed = 0;
  std::vector<int> caught_again, left;
  for (int id = 1; id <= 3; ++id) {
    tasklet([&, id] {
      try {
        const leaving here{left, id};
        try {
          throw_foreign(id);
        } catch (...) {
          schedule();
          EXPECT_EQ(std::current_exception(), nullptr);  // it is no C++ exception
          throw;
        }
      } catch (...) {
        caught_again.push_back(id);
      }
    });
  }
  run();
  EXPECT_EQ(caught_again, (std::vector{1, 2, 3}));
  EXPECT_EQ(left, (std::vector{1, 2, 3}));
  EXPECT_EQ(destroyed, 3);
}

TEST(foreign_exceptions, that_leave_a_tasklet_are_an_error_of_run) {
  destroyed = 0;
  std::vector<int> left;
  tasklet t([&] {
    const leaving here{left, 1};
    throw_foreign(1);
  });
  try {
    run();
    ADD_FAILURE() << "nothing was thrown";
  } catch (const stackless::error& e) {
    EXPECT_NE(std::string(e.what()).find("not of C++"), std::string::npos) << e.what();
  }
  EXPECT_FALSE(t.alive());
  EXPECT_EQ(left, std::vector{1});
  EXPECT_EQ(destroyed, 1);
}

// The C library ends a thread by unwinding the stack it stands on. That is the tasklet's; the frames of main are
// skipped. Other tasklets that nobody has a handle to are unwound when the thread ends.
TEST(forced_unwinding, by_pthread_exit_unwinds_the_tasklet_and_ends_the_thread) {
  std::vector<int> left;
  bool went_on = false, alive_afterwards = true, main_again = false;
  pthread_t thread;
  struct arguments {
    std::vector<int>& left;
    bool &went_on, &alive_afterwards, &main_again;
  } given{left, went_on, alive_afterwards, main_again};
  // At the end of the thread the library can still be used, as main.
  struct at_the_end {
    tasklet t = stackless::current();
    arguments* seen = nullptr;
    ~at_the_end() {
      seen->alive_afterwards = t.alive();
      seen->main_again = stackless::current().is_main();
    }
  };
  ASSERT_EQ(pthread_create(
                &thread, nullptr,
                [](void* p) -> void* {
                  auto* to = static_cast<arguments*>(p);
                  tasklet([to] {
                    thread_local at_the_end last;
                    last.seen = to;
                    const leaving here{to->left, 1};
                    schedule();
                    pthread_exit(to);
                  });
                  tasklet([to] {
                    const leaving forgotten{to->left, 2};
                    schedule();
                    schedule();
                  });
                  run();
                  to->went_on = true;
                  return nullptr;
                },
                &given),
            0);
  void* returned = nullptr;
  ASSERT_EQ(pthread_join(thread, &returned), 0);
  EXPECT_EQ(returned, &given);
  EXPECT_EQ(left, (std::vector{1, 2}));
  EXPECT_FALSE(went_on);
  EXPECT_FALSE(alive_afterwards);
  EXPECT_TRUE(main_again);
}

TEST(forced_unwinding, by_a_cancellation_unwinds_the_tasklet_that_runs) {
  struct shared {
    std::vector<int> left;
    std::atomic<bool> runs = false;
  } between;
  pthread_t thread;
  ASSERT_EQ(pthread_create(
                &thread, nullptr,
                [](void* p) -> void* {
                  auto* to = static_cast<shared*>(p);
                  tasklet([to] {
                    const leaving here{to->left, 1};
                    to->runs = true;
                    for (;;) pthread_testcancel();
                  });
                  run();
                  return nullptr;
                },
                &between),
            0);
  while (!between.runs) std::this_thread::yield();
  ASSERT_EQ(pthread_cancel(thread), 0);
  void* returned = nullptr;
  ASSERT_EQ(pthread_join(thread, &returned), 0);
  EXPECT_EQ(returned, PTHREAD_CANCELED);
  EXPECT_EQ(between.left, std::vector{1});
}

TEST(forced_unwinding, passes_those_who_keep_the_errors_of_a_tasklet) {
  const auto end_thread_in = [](void* (*body)(void*)) {
    pthread_t thread;
    bool unwound = false;
    EXPECT_EQ(pthread_create(&thread, nullptr, body, &unwound), 0);
    pthread_join(thread, nullptr);
    return unwound;
  };
  struct unwinding {
    bool& seen;
    ~unwinding() { seen = true; }
  };
  EXPECT_TRUE(end_thread_in([](void* seen) -> void* {
    stackless::result<void> r([seen] {
      const unwinding here{*static_cast<bool*>(seen)};
      pthread_exit(nullptr);
    });
    run();
    return nullptr;
  }));
  EXPECT_TRUE(end_thread_in([](void* seen) -> void* {
    stackless::group g;
    g.spawn([seen] {
      const unwinding here{*static_cast<bool*>(seen)};
      pthread_exit(nullptr);
    });
    run();
    return nullptr;
  }));
}

}  // namespace
