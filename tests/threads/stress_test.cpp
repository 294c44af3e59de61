// Four threads do everything that threads can do to tasklets and channels, at random, and what must hold in the end is
// looked at then. STACKLESS_STRESS_SEED and STACKLESS_STRESS_RUNS choose the first seed and how many follow it.

#include <array>
#include <atomic>
#include <cstdlib>
#include <mutex>
#include <optional>
#include <random>
#include <stackless/error.hpp>
#include <stackless/select.hpp>
#include <string>
#include <utility>
#include <vector>

#include "elsewhere.hpp"

namespace {

using stackless::channel;
using stackless::error;
using stackless::on_receive;
using stackless::on_send;
using stackless::run;
using stackless::schedule;
using stackless::schedule_remove;
using stackless::select;
using stackless::tasklet;

class stress : public with_threads {};

/// What there is of values and tasklets in one run.
struct ledger {
  static constexpr std::size_t most = 200000;

  std::atomic<std::size_t> made = 0;
  std::atomic<long> living = 0, received = 0, begun = 0, ended = 0;
  std::vector<std::atomic<int>> receptions = std::vector<std::atomic<int>>(most);
};

/// A value that is in one place from when it is made until it is received, or dropped with whom it was on its way to.
class token {
 public:
  explicit token(ledger& l) : ledger_(&l), number_(l.made++) { ++l.living; }
  token(token&& other) noexcept : ledger_(std::exchange(other.ledger_, nullptr)), number_(other.number_) {}
  token& operator=(token&&) = delete;
  ~token() {
    if (ledger_ != nullptr) --ledger_->living;
  }

  void receive() {
    ++ledger_->received;
    ++ledger_->receptions[number_];
  }

 private:
  ledger* ledger_;
  std::size_t number_;
};

struct life {
  explicit life(ledger& l) : ledger_(l) { ++l.begun; }
  ~life() { ++ledger_.ended; }
  life(const life&) = delete;
  life& operator=(const life&) = delete;
  ledger& ledger_;
};

class world {
 public:
  explicit world(unsigned seed) : seed_(seed) {}

  void live() {
    std::vector<thread_of_kind> threads;
    for (unsigned i = 0; i != thread_count; ++i) threads.emplace_back([this, i] { live_in_thread(i); });
    for (thread_of_kind& t : threads) t.join();
  }

  /// The threads have ended. Whom they have left, and have handles to, is unwound here.
  void end() {
    const std::vector<tasklet> left = std::exchange(known_, {});
    for (tasklet t : left) {
      t.bind_thread();
      for (int i = 0; i != 100 && t.alive(); ++i) end(t);
      EXPECT_FALSE(t.alive());
    }
    run();
    for (channel<token>& c : channels_) {
      EXPECT_EQ(c.balance(), 0);
      while (auto value = c.try_receive()) value->receive();
    }
  }

  void check() const {
    EXPECT_EQ(ledger_.living, 0) << "values are left";
    EXPECT_EQ(ledger_.begun, ledger_.ended) << "tasklets are left";
    EXPECT_GT(ledger_.received, 0);
    for (std::size_t i = 0; i != ledger_.made; ++i) ASSERT_LE(ledger_.receptions[i], 1) << "value " << i;
  }

 private:
  static constexpr unsigned thread_count = 4;
  static constexpr int steps = 3000;

  channel<token>& any_channel(std::mt19937& random) { return channels_[random() % channels_.size()]; }

  void keep(tasklet t) {
    const std::lock_guard hold(known_lock_);
    known_.push_back(std::move(t));
  }

  std::optional<tasklet> any_tasklet(std::mt19937& random, bool take = false) {
    const std::lock_guard hold(known_lock_);
    if (known_.empty()) return std::nullopt;
    tasklet& t = known_[random() % known_.size()];
    if (!take) return t;
    std::swap(t, known_.back());
    std::optional<tasklet> taken = std::move(known_.back());
    known_.pop_back();
    return taken;
  }

  static void end(tasklet& t) {
    try {
      t.kill();
    } catch (const error&) {
    } catch (int) {
    }
  }

  /// Receives from any of two channels, or does the other thing with the first of them.
  template <class Other>
  void choose(std::mt19937& random, Other other) {
    const std::size_t first = random() % channels_.size();
    select(other(channels_[first]),
           on_receive(channels_[(first + 1) % channels_.size()], [](token t) { t.receive(); }));
  }

  /// One thing that a tasklet does.
  void act(std::mt19937& random) {
    switch (random() % 10) {
      case 0:
      case 1: return any_channel(random).send(token(ledger_));
      case 2:
      case 3: return any_channel(random).receive().receive();
      case 4: return schedule_remove();
      case 5:
        for (token& t : any_channel(random)) {
          t.receive();
          if (random() % 2 == 0) break;
        }
        return;
      case 6: return choose(random, [](channel<token>& c) { return on_receive(c, [](token t) { t.receive(); }); });
      case 7: return choose(random, [this](channel<token>& c) { return on_send(c, token(ledger_), [] {}); });
      default: return schedule();
    }
  }

  void work(unsigned seed) {
    const life l(ledger_);
    std::mt19937 random(seed);
    for (unsigned turns = random() % 12; turns != 0; --turns) {
      try {
        act(random);
      } catch (const error&) {  // closed, or nobody else is there
      } catch (int) {           // somebody's exception
      }
    }
  }

  /// One thing that a thread does.
  void step(std::mt19937& random) {
    const auto body = [this, seed = static_cast<unsigned>(random())] { work(seed); };
    switch (random() % 14) {
      case 0:
      case 1: return keep(tasklet(body));
      case 2: return void(tasklet(body));
      case 3: return keep(tasklet::bound(body));
      case 4:
        if (auto t = any_tasklet(random)) t->insert();
        return;
      case 5:
        if (auto t = any_tasklet(random)) t->kill();
        return;
      case 6:
        if (auto t = any_tasklet(random)) t->raise(1);
        return;
      case 7:
        if (auto t = any_tasklet(random), to = any_tasklet(random); t && to) t->bind_thread(*to);
        return;
      case 8: return void(any_tasklet(random, true));
      case 9: return any_channel(random).close();
      case 10: return any_channel(random).open();
      case 11: return void(any_channel(random).try_send(token(ledger_)));
      case 12:
        if (auto value = any_channel(random).try_receive()) value->receive();
        return;
      case 13:
        if (auto t = any_tasklet(random)) {
          tasklet([this, joined = *t]() mutable {
            const life l(ledger_);
            try {
              joined.join();
            } catch (const error&) {
            }
          });
        }
        return;
    }
  }

  void live_in_thread(unsigned index) {
    std::mt19937 random(seed_ * thread_count + index);
    for (int i = 0; i != steps; ++i) {
      try {
        step(random);
        schedule();
      } catch (const error&) {  // refused
      } catch (int) {           // thrown in a tasklet that had not begun
      }
    }
  }

  const unsigned seed_;
  ledger ledger_;
  std::array<channel<token>, 4> channels_{};
  std::mutex known_lock_;
  std::vector<tasklet> known_;
};

unsigned number_from(const char* variable, unsigned otherwise) {
  const char* text = std::getenv(variable);
  return text != nullptr ? static_cast<unsigned>(std::strtoul(text, nullptr, 10)) : otherwise;
}

TEST_F(stress, four_threads_do_everything_at_random_and_nothing_is_lost_or_doubled) {
  const unsigned first = number_from("STACKLESS_STRESS_SEED", 1), runs = number_from("STACKLESS_STRESS_RUNS", 5);
  for (unsigned seed = first; seed != first + runs; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    world w(seed);
    w.live();
    w.end();
    w.check();
  }
}

}  // namespace
