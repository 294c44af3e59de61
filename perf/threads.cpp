// Messages from one thread to another, through a channel and through the queue that a program without it would have.

#include <condition_variable>
#include <deque>
#include <mutex>
#include <optional>
#include <stackless/channel.hpp>
#include <string_view>
#include <thread>
#include <vector>

#include "flows/tasklets.hpp"
#include "groups.hpp"
#include "groups.hpp"
#include "machine.hpp"
#include "messages.hpp"

namespace perf {
namespace {

/// Senders wait while so many values are in it, the receiver while there is none.
class queue {
 public:
  explicit queue(std::size_t capacity) : capacity_(capacity) {}

  /// False if it is closed, and the value is not taken.
  bool send(long value) {
    std::unique_lock hold(mutex_);
    has_room_.wait(hold, [&] { return closed_ || values_.size() < capacity_; });
    if (closed_) return false;
    values_.push_back(value);
    hold.unlock();
    has_value_.notify_one();
    return true;
  }

  /// Nothing if it is closed and empty.
  std::optional<long> receive() {
    std::unique_lock hold(mutex_);
    has_value_.wait(hold, [&] { return closed_ || !values_.empty(); });
    if (values_.empty()) return std::nullopt;
    const long value = values_.front();
    values_.pop_front();
    hold.unlock();
    has_room_.notify_one();
    return value;
  }

  void close() {
    const std::lock_guard hold(mutex_);
    closed_ = true;
    has_room_.notify_all();
    has_value_.notify_all();
  }

 private:
  const std::size_t capacity_;
  std::mutex mutex_;
  std::condition_variable has_room_, has_value_;
  std::deque<long> values_;
  bool closed_ = false;
};

/// The same of a channel. Without a buffer a sender waits until its value has been taken.
class shared_channel {
 public:
  explicit shared_channel(std::size_t capacity) {
    if (capacity > 1) {
      buffered_.emplace(capacity);
    } else {
      plain_.emplace();
    }
  }

  bool send(long value) {
    try {
      channel().send(value);
      return true;
    } catch (const stackless::closed_error&) {
      return false;
    }
  }

  std::optional<long> receive() {
    if (!channel().closing()) return channel().receive();
    return channel().try_receive();
  }

  void close() { channel().close(); }

 private:
  stackless::channel<long>& channel() { return buffered_ ? *buffered_ : *plain_; }

  std::optional<stackless::channel<long>> plain_, buffered_;
};

/// Each of `senders` threads sends 1, 2, 3...; this one receives.
template <class Queue>
void message(benchmark::State& state, std::size_t senders, std::size_t capacity) {
  Queue q(capacity);
  long received = 0;
  std::vector<long> sent(senders);
  std::vector<std::thread> sending;
  for (std::size_t i = 0; i != senders; ++i) {
    sending.emplace_back([&, i] {
      run_beside();
      for (long n = 1; q.send(n); ++n) sent[i] += n;
    });
  }
  for (auto _ : state) received += *q.receive();
  q.close();
  while (const auto value = q.receive()) received += *value;
  for (std::thread& t : sending) t.join();
  for (const long sum : sent) received -= sum;
  finish(state, 1, received == 0);
}

// The price of threads to those who do not use them.

void message_among_threads(benchmark::State& state) {
  stackless::channel<long> c;
  send_messages<tasklets>(state, c);
}

void message_once_shared(benchmark::State& state) {
  stackless::channel<long> c;
  c.balance();  // it is used here first
  std::thread([&] { c.balance(); }).join();
  send_messages<tasklets>(state, c);
}

/// The same of a channel and of a queue.
void add_messages(const plan& p, std::string_view work, std::size_t senders, std::size_t capacity) {
  add(p, work, "stackless", message<shared_channel>, senders, capacity);
  add(p, work, "mutex", message<queue>, senders, capacity);
}

}  // namespace

void add_threads(const plan& p) {
  if (p.stage == stage::one_thread) return;
  add_messages(p, "threads/message", 1, 1);
  add_messages(p, "threads/message, buffer of 64", 1, 64);
  add_messages(p, "threads/message, 4 to 1", 4, 1);
  const plan alone{stage::one_thread, p.smoke};  // so that it is timed as channel/message
  add(alone, "threads/message in one thread of several", "stackless", message_among_threads);
  add(alone, "threads/message in one thread, once shared", "stackless", message_once_shared);
}

}  // namespace perf
