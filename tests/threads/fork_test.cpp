// A process with several threads forks.

#include <unistd.h>

#include <atomic>
#include <stackless/error.hpp>

#include "elsewhere.hpp"
#include "tests/core/heap_helpers.hpp"

namespace {

using stackless::channel;
using stackless::schedule;
using stackless::schedule_remove;
using stackless::tasklet;

#if !STACKLESS_TSAN && !STACKLESS_ASAN  // the one allows no threads in a process that forks, the other leaves its
                                        // allocator's lock taken
class forking : public with_threads {};

/// What a child does: 0 if all is well.
int live_alone() {
  alarm(20);
  channel<int> c;
  tasklet([&] { c.send(7); });
  if (c.receive() != 7) return 1;
  try {
    c.receive();
  } catch (const stackless::deadlock_error&) {
    return 0;
  }
  return 2;
}

TEST_F(forking, child_goes_on_alone_whatever_other_threads_were_doing) {
  elsewhere there;
  std::atomic<bool> done = false;
  tasklet t([] {
    for (;;) schedule_remove();
  });
  stackless::run();
  there([&] {
    tasklet([&] {
      while (!done) {
        t.insert();
        tasklet([] {});
        schedule();
      }
    });
  });
  for (int i = 0; i != 100; ++i) {
    schedule();
    EXPECT_EQ(in_child(live_alone), 0);
  }
  done = true;
  there([] {});
  t.kill();
}
#endif

}  // namespace
