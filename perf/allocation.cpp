// Memory from the picklable heap and from others: in one thread, in several, and freed by another thread than the one
// that allocated it.

#include <array>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <mutex>
#include <random>
#include <thread>
#include <utility>
#include <vector>

#include "allocators.hpp"
#include "groups.hpp"
#include "machine.hpp"
#include "row.hpp"

namespace perf {
namespace {

/// A block whose two ends hold the same mark.
template <class Allocator>
class block {
 public:
  block() = default;
  block(std::size_t bytes, std::uint32_t mark)
      : first_(static_cast<std::uint32_t*>(Allocator::allocate(bytes))), last_(bytes / sizeof mark - 1) {
    first_[0] = first_[last_] = mark;
  }

  /// The mark; 0 if the ends do not agree.
  std::uint32_t free() {
    const std::uint32_t mark = first_[0] == first_[last_] ? first_[0] : 0;
    Allocator::free(first_);
    return mark;
  }

 private:
  std::uint32_t* first_ = nullptr;
  std::size_t last_ = 0;
};

/// Sums of the marks that were written and of those that were found.
struct marks {
  std::uint32_t next = 1;
  std::uint64_t written = 0;
  std::uint64_t found = 0;

  template <class Allocator>
  block<Allocator> put(std::size_t bytes) {
    written += next;
    return {bytes, next++};
  }
};

template <class Allocator>
void small(benchmark::State& state) {
  marks m;
  for (auto _ : state) {
    for (std::size_t bytes = 32; bytes <= 128; bytes += 32) {
      block<Allocator> b = m.put<Allocator>(bytes);
      benchmark::DoNotOptimize(b);
      m.found += b.free();
    }
  }
  finish(state, 4, m.found == m.written);
}

/// 1,000 blocks of mixed sizes, half of them below 128 bytes, to be replaced at random.
template <class Allocator>
class window {
 public:
  explicit window(std::uint32_t seed) : random_(seed) {
    for (auto& each : live_) each = another();
  }

  void replace() {
    auto& one = live_[random_() % live_.size()];
    marks_.found += one.free();
    one = another();
  }

  /// Frees all; false if a mark was not what it must be.
  bool finish() {
    for (auto& each : live_) marks_.found += each.free();
    return marks_.found == marks_.written;
  }

 private:
  block<Allocator> another() {
    const std::uint32_t random = random_();
    return marks_.put<Allocator>((std::size_t{8} << random % 8) + (random >> 8) % (8 << random % 8));
  }

  std::minstd_rand random_;
  marks marks_;
  std::array<block<Allocator>, 1000> live_;
};

template <class Allocator>
void mixed(benchmark::State& state) {
  window<Allocator> w(1);
  for (auto _ : state) w.replace();
  finish(state, 1, w.finish());
}

template <class Allocator>
void mixed_in_threads(benchmark::State& state) {
  constexpr int replacements = 50'000;
  std::array<char, 4> right;
  for (auto _ : state) {
    std::vector<std::thread> threads;
    for (std::size_t i = 0; i < right.size(); ++i) {
      threads.emplace_back([&right, i] {
        run_beside();
        window<Allocator> w(static_cast<std::uint32_t>(i + 1));
        for (int round = 0; round < replacements; ++round) w.replace();
        right[i] = w.finish();
      });
    }
    for (std::thread& each : threads) each.join();
  }
  finish(state, replacements * static_cast<double>(right.size()), right == std::array<char, 4>{1, 1, 1, 1});
}

/// Hands batches over from one thread to another; a few may be under way.
template <class Allocator>
class hand_over {
 public:
  using batch = std::vector<block<Allocator>>;

  void give(batch&& full) {
    std::unique_lock hold(lock_);
    changed_.wait(hold, [&] { return waiting_.size() < 16; });
    waiting_.push_back(std::move(full));
    changed_.notify_all();
  }

  /// All that wait; an empty batch is the last.
  std::vector<batch> take() {
    std::unique_lock hold(lock_);
    changed_.wait(hold, [&] { return !waiting_.empty(); });
    changed_.notify_all();
    return std::exchange(waiting_, {});
  }

 private:
  std::mutex lock_;
  std::condition_variable changed_;
  std::vector<batch> waiting_;
};

template <class Allocator>
void remote(benchmark::State& state) {
  constexpr std::size_t blocks = 1000;
  hand_over<Allocator> between;
  marks m;
  std::uint64_t found = 0;
  std::thread other([&between, &found] {
    run_beside();
    std::uint64_t sum = 0;
    for (bool more = true; more;) {
      for (auto& batch : between.take()) {
        more = !batch.empty();
        for (auto& each : batch) sum += each.free();
      }
    }
    found = sum;
  });
  for (auto _ : state) {
    typename hand_over<Allocator>::batch batch;
    batch.reserve(blocks);
    for (std::size_t i = 0; i < blocks; ++i) batch.push_back(m.put<Allocator>(32 + i % 4 * 32));
    between.give(std::move(batch));
  }
  between.give({});
  other.join();
  finish(state, blocks, found == m.written);
}

}  // namespace

void add_allocation(const plan& p) {
  for_each_allocator([&]<class Allocator>() {
    if (p.stage == stage::one_thread) {
      add(p, "allocation/32..128 B", Allocator::name, small<Allocator>);
      add(p, "allocation/mixed", Allocator::name, mixed<Allocator>);
    } else {
      add(p, "allocation/4 threads", Allocator::name, mixed_in_threads<Allocator>);
      add(p, "allocation/freed elsewhere", Allocator::name, remote<Allocator>);
    }
  });
}

}  // namespace perf
