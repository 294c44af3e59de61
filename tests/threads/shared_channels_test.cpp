// Channels that several threads use: all that they can do in one thread, and how they come to be shared.

#include <array>
#include <atomic>
#include <deque>
#include <memory>
#include <optional>
#include <stackless/error.hpp>
#include <stdexcept>
#include <string>
#include <vector>

#include "elsewhere.hpp"
#include "tests/core/leaving.hpp"
#include "tests/core/refused_calls.hpp"

namespace {

using stackless::channel;
using stackless::closed_error;
using stackless::run;
using stackless::schedule;
using stackless::schedule_remove;
using stackless::state_error;
using stackless::tasklet;

class shared_channels : public with_threads {};

TEST_F(shared_channels, one_that_is_destroyed_tells_those_who_wait_in_other_threads) {
  elsewhere a, b;
  auto c = std::make_unique<channel<std::string>>();
  std::atomic<int> told = 0;
  const auto wait = [&] {
    tasklet([&] {
      try {
        c->receive();
      } catch (const state_error&) {
        ++told;
      }
    });
    run();
  };
  a(wait);
  b(wait);
  wait();
  EXPECT_EQ(c->balance(), -3);
  c.reset();
  run();
  while (told != 3) nap();
}

TEST_F(shared_channels, one_that_is_destroyed_gives_back_what_senders_in_other_threads_had) {
  elsewhere there;
  auto c = std::make_unique<channel<std::shared_ptr<int>>>();
  const auto value = std::make_shared<int>(1);
  tasklet t = there.get<tasklet>([&] {
    tasklet sender([&] {
      try {
        c->send(value);
      } catch (const state_error&) {
      }
    });
    run();
    return sender;
  });
  EXPECT_EQ(value.use_count(), 2);
  c.reset();
  t.join();
  EXPECT_EQ(value.use_count(), 1);
}

TEST_F(shared_channels, close_ends_the_iterations_of_all_threads) {
  channel<int> c;
  std::atomic<int> sum = 0, ended = 0;
  std::vector<thread_of_kind> threads;
  for (int i = 0; i != 3; ++i) {
    threads.emplace_back([&] {
      for (int each = 0; each != 2; ++each) {
        tasklet([&] {
          for (const int n : c) sum += n;
          ++ended;
        });
      }
      run({.serve = true});
    });
  }
  for (int i = 1; i <= 1000; ++i) c.send(i);
  c.close();
  for (thread_of_kind& t : threads) t.join();
  EXPECT_EQ(sum, 500500);
  EXPECT_EQ(ended, 6);
  EXPECT_TRUE(c.closed());
  EXPECT_THROW(c.send(1), closed_error);
}

TEST_F(shared_channels, senders_of_other_threads_are_received_from_after_close) {
  elsewhere there;
  channel<int> c;
  there([&] {
    tasklet([&] { c.send(1); });
    tasklet([&] { c.send(2); });
    run();
  });
  c.close();
  std::vector<int> got;
  for (const int n : c) got.push_back(n);
  EXPECT_EQ(got, (std::vector<int>{1, 2}));
  c.open();
  EXPECT_FALSE(c.closing());
}

TEST_F(shared_channels, buffer_keeps_the_order_of_each_sender) {
  constexpr int count = 5000;
  channel<std::pair<int, int>> c(16);
  std::vector<std::thread> senders;
  for (int who = 0; who != 3; ++who) {
    senders.emplace_back([&, who] {
      for (int i = 0; i != count; ++i) c.send({who, i});
    });
  }
  std::array<int, 3> next{};
  for (int i = 0; i != 3 * count; ++i) {
    const auto [who, n] = c.receive();
    ASSERT_EQ(n, next[static_cast<std::size_t>(who)]++);
  }
  for (std::thread& t : senders) t.join();
  EXPECT_EQ(c.balance(), 0);
  EXPECT_FALSE(c.try_receive());
}

TEST_F(shared_channels, exceptions_are_sent_to_receivers_of_other_threads) {
  elsewhere there;
  channel<int> c;
  std::string caught;
  tasklet t = there.get<tasklet>([&] {
    tasklet receiver([&] {
      try {
        c.receive();
      } catch (const std::runtime_error& e) {
        caught = e.what();
      }
    });
    run();
    return receiver;
  });
  c.send_exception(std::runtime_error("sent"));
  t.join();
  EXPECT_EQ(caught, "sent");
}

TEST_F(shared_channels, exceptions_of_senders_that_wait_in_other_threads_are_received) {
  elsewhere there;
  channel<int> c;
  bool went_on = false;
  tasklet t = there.get<tasklet>([&] {
    tasklet sender([&] {
      c.send_exception(std::runtime_error("sent"));
      went_on = true;
    });
    run();
    return sender;
  });
  EXPECT_EQ(c.balance(), 1);
  EXPECT_THROW(c.receive(), std::runtime_error);
  t.join();
  EXPECT_TRUE(went_on);
}

TEST_F(shared_channels, try_send_and_try_receive_of_four_threads_lose_and_double_nothing) {
  constexpr int each = 20000;
  channel<int> c(8);
  std::atomic<long> sent = 0, received = 0;
  std::atomic<int> left = 2;
  std::vector<std::thread> threads;
  for (int who = 0; who != 2; ++who) {
    threads.emplace_back([&, who] {
      for (int i = 1; i <= each; ++i) {
        if (c.try_send(who * each + i)) sent += who * each + i;
      }
      --left;
    });
    threads.emplace_back([&] {
      while (left != 0) {
        if (const auto n = c.try_receive()) {
          received += *n;
        } else {
          std::this_thread::yield();
        }
      }
    });
  }
  for (std::thread& t : threads) t.join();
  while (const auto n = c.try_receive()) received += *n;
  EXPECT_EQ(sent, received);
  EXPECT_GT(sent, 0);
}

/// Too big for a record, and says how many there are.
struct big {
  explicit big(long n) : number(n) { ++living; }
  big(big&& other) noexcept : number(std::exchange(other.number, -1)) { ++living; }
  ~big() { --living; }
  long number;
  std::array<char, 1000> ballast{};
  inline static std::atomic<int> living = 0;
};

/// Some moves throw.
struct fragile {
  explicit fragile(int n) : number(n) { ++living; }
  fragile(fragile&& other) : number(other.number) {
    if (moves_left > 0 && --moves_left == 0) throw std::runtime_error("cannot be moved now");
    ++living;
  }
  ~fragile() { --living; }
  int number;
  inline static std::atomic<int> living = 0;
  inline static thread_local int moves_left = 0;
};

template <class T, class Make, class Number>
void send_through(Make make, Number number) {
  constexpr int count = 2000;
  channel<T> c;
  std::thread sender([&] {
    for (int i = 0; i != count; ++i) c.send(make(i));
  });
  for (int i = 0; i != count; ++i) ASSERT_EQ(number(c.receive()), i);
  sender.join();
}

TEST_F(shared_channels, values_that_are_only_moved_go_over) {
  send_through<std::unique_ptr<int>>([](int i) { return std::make_unique<int>(i); },
                                     [](const std::unique_ptr<int>& p) { return *p; });
}

TEST_F(shared_channels, values_that_are_too_big_for_a_record_go_over) {
  send_through<big>([](int i) { return big(i); }, [](const big& b) { return static_cast<int>(b.number); });
  EXPECT_EQ(big::living, 0);
}

TEST_F(shared_channels, move_that_throws_leaves_the_value_with_the_sender_of_the_other_thread) {
  elsewhere there;
  channel<fragile> c;
  there([&] {
    tasklet([&] { c.send(fragile(7)); });
    run();
  });
  fragile::moves_left = 1;
  EXPECT_THROW(c.receive(), std::runtime_error);
  EXPECT_EQ(c.balance(), 1);
  EXPECT_EQ(c.receive().number, 7);
  there.end();
  EXPECT_EQ(fragile::living, 0);
}

TEST_F(shared_channels, move_that_throws_leaves_the_receiver_of_the_other_thread_waiting) {
  elsewhere there;
  channel<fragile> c;
  int got = 0;
  tasklet t = there.get<tasklet>([&] {
    tasklet receiver([&] { got = c.receive().number; });
    run();
    return receiver;
  });
  for (int moves = 1; moves != 4; ++moves) {
    fragile::moves_left = moves;
    try {
      c.send(fragile(moves));
      break;
    } catch (const std::runtime_error&) {
      EXPECT_EQ(c.balance(), -1);
    }
  }
  fragile::moves_left = 0;
  if (c.balance() < 0) c.send(fragile(9));
  t.join();
  EXPECT_GT(got, 0);
  there.end();
  EXPECT_EQ(fragile::living, 0);
}

TEST_F(shared_channels, exceptions_in_flight_stay_with_the_tasklet_that_waits) {
  elsewhere there;
  channel<int> c;
  std::string caught;
  std::optional<int> during;
  tasklet t = there.get<tasklet>([&] {
    tasklet receiver([&] {
      try {
        throw std::runtime_error("being handled");
      } catch (...) {
        c.receive();
        try {
          throw;
        } catch (const std::exception& e) {
          caught = e.what();
        }
      }
    });
    run();
    during = std::uncaught_exceptions();
    EXPECT_EQ(std::current_exception(), nullptr);
    return receiver;
  });
  c.send(1);
  t.join();
  EXPECT_EQ(during, 0);
  EXPECT_EQ(caught, "being handled");
}

TEST_F(shared_channels, destructor_receives_from_another_thread_while_an_exception_unwinds) {
  channel<int> c;
  int got = 0;
  std::thread other([&] { c.send(5); });
  struct receiving {
    channel<int>& c;
    int& got;
    ~receiving() { got = c.receive(); }
  };
  try {
    const receiving r{c, got};
    throw std::runtime_error("unwinds");
  } catch (const std::runtime_error& e) {
    EXPECT_STREQ(e.what(), "unwinds");
  }
  other.join();
  EXPECT_EQ(got, 5);
}

TEST_F(shared_channels, callbacks_are_called_in_the_thread_that_has_set_them) {
  channel<int> c;
  std::atomic<int> called = 0;
  const std::thread::id me = this_thread();
  stackless::set_channel_callback([&](const stackless::channel_base&, const tasklet&, bool sending, bool) {
    EXPECT_EQ(this_thread(), me);
    EXPECT_FALSE(sending);
    ++called;
  });
  std::thread sender([&] {
    for (int i = 0; i != 10; ++i) c.send(i);
  });
  for (int i = 0; i != 10; ++i) EXPECT_EQ(c.receive(), i);
  stackless::set_channel_callback({});
  sender.join();
  EXPECT_EQ(called, 10);
}

TEST_F(shared_channels, preference_and_schedule_all_do_not_concern_partners_in_other_threads) {
  elsewhere there;
  for (const int preference : {-1, 0, 1}) {
    channel<int> c;
    c.preference(preference);
    c.schedule_all(preference == 0);
    tasklet t = there.get<tasklet>([&] {
      tasklet receiver([&] { c.receive(); });
      run();
      return receiver;
    });
    bool others_ran = false;
    tasklet bystander([&] { others_ran = true; });
    c.send(1);
    EXPECT_FALSE(others_ran);
    run();
    t.join();
  }
}

TEST_F(shared_channels, receiver_that_was_killed_leaves_a_channel_that_others_can_use) {
  for (int waiting = 1; waiting != 4; ++waiting) {
    channel<int> c;
    std::vector<tasklet> receivers;
    for (int i = 0; i != waiting; ++i) receivers.emplace_back([&] { c.receive(); });
    schedule();
    receivers.back().kill();
    std::thread([&] { EXPECT_EQ(c.balance(), 1 - waiting); }).join();
    receivers.pop_back();
    for (tasklet& t : receivers) t.kill();
  }
}

#if STACKLESS_CAN_BE_REFUSED_CALLS
TEST_F(shared_channels, thread_that_the_kernel_refuses_fences_is_told_and_the_channel_stays_with_the_other) {
  channel<int> c;
  const auto use = [&] {
    tasklet([&] { c.send(7); });
    EXPECT_EQ(c.receive(), 7);
  };
  use();
  std::string told;
  std::thread([&] {
    ASSERT_TRUE(refuse_call(SYS_membarrier));
    try {
      c.try_send(1);
    } catch (const stackless::error& e) {
      told = e.what();
    }
  }).join();
  EXPECT_NE(told.find("refuses membarrier(2): Operation not permitted"), std::string::npos) << told;
  use();
}
#endif

TEST_F(shared_channels, channel_is_taken_from_a_thread_that_hammers_it) {
  for (int round = 0; round != 300; ++round) {
    channel<long> c;
    std::atomic<bool> begun = false;
    std::atomic<long> received = 0;
    long sent = 0;
    thread_of_kind owner([&] {
      tasklet receiver([&] {
        for (const long n : c) received += n;
      });
      for (long i = 1; i <= 300; ++i) {
        c.send(i);
        if (i == 20) begun = true;
      }
      run({.serve = true});
    });
    while (!begun) {
    }
    for (long i = 1; i <= 20; ++i) {
      if (c.try_send(i * 1000)) sent += i * 1000;
    }
    // The owner may be sending still, and its receiver is in the middle of the queue.
    while (received < 300 * 301 / 2 + sent) std::this_thread::yield();
    c.close();
    owner.join();
    EXPECT_EQ(received, 300 * 301 / 2 + sent);
  }
}

TEST_F(shared_channels, many_are_taken_over_while_their_users_send_through_them) {
  constexpr std::size_t threads = 4, channels = 8;
  constexpr long count = 100000 / channels;
  // Each thread sends to the next through channels that this one uses itself meanwhile.
  std::array<std::array<channel<long>, channels>, threads> between;
  std::array<long, threads> received{};
  std::vector<thread_of_kind> all;
  for (std::size_t me = 0; me != threads; ++me) {
    all.emplace_back([&, me] {
      for (std::size_t k = 0; k != channels; ++k) {
        tasklet([&, me, k] {
          for (long i = 1; i <= count; ++i) between[(me + 1) % threads][k].send(i);
        });
        tasklet([&, me, k] {
          for (long i = 1; i <= count; ++i) received[me] += between[me][k].receive();
        });
      }
      run({.serve = true});
    });
  }
  for (thread_of_kind& t : all) t.join();
  for (const long sum : received) EXPECT_EQ(sum, static_cast<long>(channels) * count * (count + 1) / 2);
}

TEST_F(shared_channels, each_is_used_by_one_thread_and_then_by_others) {
  constexpr std::size_t threads = 4, channels = 64;
  constexpr int rounds = 20;
  std::deque<channel<long>> all(channels);
  std::atomic<long> sent = 0, received = 0;
  for (int round = 0; round != rounds; ++round) {
    std::vector<thread_of_kind> users;
    for (std::size_t me = 0; me != threads; ++me) {
      users.emplace_back([&, me] {
        for (std::size_t k = 0; k != channels; ++k) {
          channel<long>& c = all[(k + me * channels / threads) % channels];
          tasklet r([&] {
            if (const auto n = c.try_receive()) received += *n;
            received += c.receive();
          });
          schedule();
          for (long i = 1; i <= 2; ++i) {
            if (c.try_send(long{i})) sent += i;
          }
          r.kill();
          schedule();
        }
        run();
      });
    }
    for (thread_of_kind& t : users) t.join();
  }
  for (channel<long>& c : all) EXPECT_EQ(c.balance(), 0);
  EXPECT_GE(sent, received);
}

}  // namespace
