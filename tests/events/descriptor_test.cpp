// Waiting for descriptors.

#include <fcntl.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include <cstdio>
#include <optional>
#include <thread>

#include "tests/events/waiting.hpp"

namespace {

class descriptors : public event_case {};

TEST_F(descriptors, reader_waits_until_there_is_something_to_read) {
  a_pipe p;
  tasklet([&] {
    EXPECT_TRUE(wait_readable(p.first()));
    get(p.first());
    trace.push_back("read");
  });
  schedule();
  trace.push_back("write");
  put(p.second());
  run();
  EXPECT_EQ(trace, (lines{"write", "read"}));
}

TEST_F(descriptors, main_waits_alone_for_another_thread_to_write) {
  a_pipe p;
  std::thread writer([&] {
    std::this_thread::sleep_for(2ms);
    put(p.second());
  });
  EXPECT_TRUE(wait_readable(p.first()));
  writer.join();
}

TEST_F(descriptors, writer_waits_until_there_is_room) {
  a_socketpair s;
  fill(s.first());
  tasklet([&] {
    EXPECT_TRUE(wait_writable(s.first()));
    trace.push_back("room");
  });
  EXPECT_FALSE(wait_writable(s.first(), 2ms));
  trace.push_back("drain");
  char bytes[1 << 16];
  while (recv(s.second(), bytes, sizeof bytes, MSG_DONTWAIT) > 0) {
  }
  run();
  EXPECT_EQ(trace, (lines{"drain", "room"}));
}

TEST_F(descriptors, wait_for_a_descriptor_can_time_out) {
  a_pipe p;
  const auto begin = event_clock::now();
  EXPECT_FALSE(wait_readable(p.first(), 2ms));
  EXPECT_GE(event_clock::now() - begin, 2ms);
  EXPECT_FALSE(wait_readable(p.first(), event_clock::now() + 1ms));
}

TEST_F(descriptors, wait_without_time_tells_whether_it_is_ready) {
  a_pipe p;
  EXPECT_FALSE(wait_readable(p.first(), 0ms));
  EXPECT_TRUE(wait_writable(p.second(), 0ms));
  put(p.second());
  EXPECT_TRUE(wait_readable(p.first(), 0ms));
}

TEST_F(descriptors, end_of_a_pipe_can_be_read) {
  a_pipe p;
  p.close_second();
  EXPECT_TRUE(wait_readable(p.first(), long_time));
}

TEST_F(descriptors, pipe_that_nobody_reads_can_be_written_to_for_the_error) {
  a_pipe p;
  p.close_first();
  EXPECT_TRUE(wait_writable(p.second(), long_time));
  const descriptor kept(p.second());
  EXPECT_TRUE(kept.wait_writable(long_time));
  EXPECT_TRUE(kept.wait_writable(long_time));
}

TEST_F(descriptors, one_reads_and_one_writes) {
  a_socketpair s;
  fill(s.first());
  tasklet([&] {
    EXPECT_TRUE(wait_readable(s.first()));
    trace.push_back("readable");
  });
  tasklet([&] {
    EXPECT_TRUE(wait_writable(s.first()));
    trace.push_back("writable");
  });
  schedule();
  put(s.second());
  while (trace.empty()) sleep_for(1ms);
  EXPECT_EQ(trace, (lines{"readable"}));
  char bytes[1 << 16];
  while (recv(s.second(), bytes, sizeof bytes, MSG_DONTWAIT) > 0) {
  }
  run();
  EXPECT_EQ(trace, (lines{"readable", "writable"}));
}

TEST_F(descriptors, all_who_wait_for_the_same_go_on_in_their_order) {
  a_pipe p;
  for (const char* name : {"a", "b", "c"}) {
    tasklet([&, name] {
      EXPECT_TRUE(wait_readable(p.first()));
      trace.push_back(name);
    });
  }
  schedule();
  put(p.second());
  run();
  EXPECT_EQ(trace, (lines{"a", "b", "c"}));
}

TEST_F(descriptors, one_of_several_who_wait_times_out) {
  a_pipe p;
  tasklet([&] {
    EXPECT_TRUE(wait_readable(p.first()));
    trace.push_back("ready");
  });
  EXPECT_FALSE(wait_readable(p.first(), 2ms));
  trace.push_back("timed out");
  put(p.second());
  run();
  EXPECT_EQ(trace, (lines{"timed out", "ready"}));
}

TEST_F(descriptors, killed_waiter_leaves_the_descriptor_to_the_others) {
  a_pipe p;
  tasklet killed([&] { wait_readable(p.first(), long_time); });
  tasklet([&] {
    EXPECT_TRUE(wait_readable(p.first()));
    trace.push_back("ready");
  });
  schedule();
  killed.kill();
  EXPECT_FALSE(killed.alive());
  put(p.second());
  run();
  EXPECT_EQ(trace, (lines{"ready"}));
}

TEST_F(descriptors, exception_thrown_into_the_only_waiter_ends_the_wait) {
  a_pipe p;
  tasklet t([&] { EXPECT_THROW(wait_readable(p.first()), std::runtime_error); });
  schedule();
  t.raise(std::runtime_error("woken"));
  run();
  EXPECT_FALSE(t.alive());
}

TEST_F(descriptors, timeout_ends_the_wait_for_a_descriptor) {
  a_pipe p;
  {
    timeout limit(2ms);
    EXPECT_THROW(wait_readable(p.first()), timeout_error);
  }
  put(p.second());
  EXPECT_TRUE(wait_readable(p.first()));
}

TEST_F(descriptors, number_of_a_closed_descriptor_is_used_again_at_once) {
  for (int round = 0; round != 3; ++round) {
    std::optional<a_pipe> p(std::in_place);
    const int number = p->first();
    EXPECT_FALSE(wait_readable(number, 0ms));
    put(p->second());
    EXPECT_TRUE(wait_readable(number));
    p.reset();
    p.emplace();
    ASSERT_EQ(p->first(), number);
    EXPECT_FALSE(wait_readable(number, 1ms));
    put(p->second());
    EXPECT_TRUE(wait_readable(number));
  }
}

TEST_F(descriptors, descriptor_is_waited_for_again_and_again) {
  a_socketpair s;
  tasklet([&] {
    const descriptor d(s.first());
    for (int i = 0; i != 100; ++i) {
      EXPECT_TRUE(d.wait_readable());
      get(s.first());
      EXPECT_TRUE(d.wait_writable());
      put(s.first());
    }
  });
  const descriptor d(s.second());
  for (int i = 0; i != 100; ++i) {
    put(s.second());
    EXPECT_TRUE(d.wait_readable(long_time));
    get(s.second());
  }
}

TEST_F(descriptors, what_nobody_waits_for_does_not_keep_the_thread_busy) {
  a_pipe p;
  const descriptor d(p.first());
  put(p.second());
  EXPECT_TRUE(d.wait_readable());
  timespec before, after;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &before);
  sleep_for(200ms);
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &after);
  EXPECT_LT((after.tv_sec - before.tv_sec) * 1000 + (after.tv_nsec - before.tv_nsec) / 1'000'000, 100);
  EXPECT_TRUE(d.wait_readable());
}

TEST_F(descriptors, descriptor_moves_and_several_may_be_of_one_number) {
  a_pipe p;
  descriptor one(p.first());
  {
    const descriptor two(p.first());
    const descriptor moved(std::move(one));
    EXPECT_EQ(moved.fd(), p.first());
    EXPECT_FALSE(two.wait_readable(1ms));
    one = descriptor(p.first());
  }
  put(p.second());
  EXPECT_TRUE(one.wait_readable(event_clock::now() + long_time));
}

TEST_F(descriptors, descriptor_blocks_or_not_as_it_did_before) {
  a_pipe p;
  const descriptor d(p.first());
  EXPECT_EQ(fcntl(p.first(), F_GETFL) & O_NONBLOCK, 0);
  fcntl(p.second(), F_SETFL, O_NONBLOCK);
  EXPECT_TRUE(wait_writable(p.second()));
  EXPECT_NE(fcntl(p.second(), F_GETFL) & O_NONBLOCK, 0);
}

/// What waiting for `fd` throws.
std::string refusal(int fd, std::errc why) {
  try {
    wait_readable(fd);
  } catch (const stackless::descriptor_error& e) {
    EXPECT_EQ(e.descriptor(), fd);
    EXPECT_EQ(e.code(), why);
    return e.what();
  }
  return "none";
}

TEST_F(descriptors, descriptor_that_is_not_open_is_refused_by_number) {
  const alarm in_the_loop(long_time);  // which is there by now, and will not take the number
  const int fd = dup(0);
  close(fd);
  EXPECT_EQ(refusal(fd, std::errc::bad_file_descriptor),
            "descriptor " + std::to_string(fd) +
                " cannot be waited for: Bad file descriptor: keep it open while it is waited for");
  refusal(-1, std::errc::bad_file_descriptor);
  EXPECT_THROW(descriptor{fd}, stackless::descriptor_error);
}

TEST_F(descriptors, regular_file_is_refused) {
  std::FILE* file = std::tmpfile();
  const std::string text = refusal(fileno(file), std::errc::operation_not_permitted);
  EXPECT_NE(text.find("without waiting"), std::string::npos) << text;
  std::fclose(file);
}

/// While one lives, there are no more descriptors for the process.
class no_more_descriptors {
 public:
  no_more_descriptors() {
    getrlimit(RLIMIT_NOFILE, &before_);
    const int lowest = dup(0);
    close(lowest);
    const rlimit now = {static_cast<rlim_t>(lowest), before_.rlim_max};
    setrlimit(RLIMIT_NOFILE, &now);
  }
  ~no_more_descriptors() { setrlimit(RLIMIT_NOFILE, &before_); }
  no_more_descriptors(const no_more_descriptors&) = delete;
  no_more_descriptors& operator=(const no_more_descriptors&) = delete;

 private:
  rlimit before_ = {};
};

TEST_F(descriptors, thread_that_gets_none_for_its_loop_is_told_and_may_wait_later) {
  std::thread([] { sleep_for(1ms); }).join();  // libuv cannot do without those that it keeps for all loops
  std::error_code why;
  // To look at the first of its type UndefinedBehaviorSanitizer needs a descriptor, not only here but where it is thrown.
  const std::system_error met(why);
  std::thread([&] {
    {
      const no_more_descriptors from_now_on;
      try {
        sleep_for(1ms);
      } catch (const std::system_error& e) {
        why = e.code();
      }
    }
    sleep_for(1ms);
  }).join();
  EXPECT_EQ(why, std::errc::too_many_files_open);
}

TEST_F(descriptors, thread_may_end_while_tasklets_wait) {
  a_pipe p;
  thread_of_kind([&] {
    const descriptor d(p.first());
    tasklet([&] { wait_readable(p.first()); }).name("left");
    tasklet([&] { sleep_for(long_time); }).name("left");
    schedule();
  }).join();
}

TEST_F(descriptors, child_of_fork_waits_for_itself) {
  a_pipe p;
  const descriptor d(p.first());
  tasklet([&] {
    EXPECT_TRUE(d.wait_readable());
    get(p.first());
    trace.push_back("read");
  });
  schedule();
  const pid_t child = fork();
  if (child == 0) {
    // The pipe is shared, so what one process reads the other does not; its own is not.
    a_pipe own;
    tasklet([&] {
      sleep_for(1ms);
      put(own.second());
    });
    const bool ready = wait_readable(own.first(), long_time);
    _exit(ready ? 0 : 1);
  }
  int status = -1;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0);
  put(p.second());
  run();
  EXPECT_EQ(trace, (lines{"read"}));
}

}  // namespace
