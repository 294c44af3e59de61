// Memory from the picklable heap and from others: in one thread, in several, and freed by another thread than the one
// that allocated it.

#include <array>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <mutex>
#include <random>
#include <stackless/heap.hpp>
#include <thread>
#include <utility>
#include <vector>

#include "peers.hpp"
#include "row.hpp"

namespace {

struct picklable {
  static void* allocate(std::size_t bytes) { return stackless::heap::allocate(bytes); }
  static void free(void* memory) { stackless::heap::deallocate(memory); }
};

struct glibc {
  static void* allocate(std::size_t bytes) { return std::malloc(bytes); }
  static void free(void* memory) { std::free(memory); }
};

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
  perf::finish(state, 4, m.found == m.written);
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
  perf::finish(state, 1, w.finish());
}

template <class Allocator>
void mixed_in_threads(benchmark::State& state) {
  constexpr int replacements = 50'000;
  std::array<char, 4> right;
  for (auto _ : state) {
    std::vector<std::thread> threads;
    for (std::size_t i = 0; i < right.size(); ++i) {
      threads.emplace_back([&right, i] {
        window<Allocator> w(static_cast<std::uint32_t>(i + 1));
        for (int round = 0; round < replacements; ++round) w.replace();
        right[i] = w.finish();
      });
    }
    for (std::thread& each : threads) each.join();
  }
  perf::finish(state, replacements * static_cast<double>(right.size()), right == std::array<char, 4>{1, 1, 1, 1});
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
  perf::finish(state, blocks, found == m.written);
}

BENCHMARK(small<picklable>)->Name("allocation/32..128 B");
BENCHMARK(small<glibc>)->Name("allocation/32..128 B, glibc");
#if defined(STACKLESS_PERF_MIMALLOC)
BENCHMARK(small<perf::mimalloc>)->Name("allocation/32..128 B, mimalloc");
#endif

BENCHMARK(mixed<picklable>)->Name("allocation/mixed");
BENCHMARK(mixed<glibc>)->Name("allocation/mixed, glibc");
#if defined(STACKLESS_PERF_MIMALLOC)
BENCHMARK(mixed<perf::mimalloc>)->Name("allocation/mixed, mimalloc");
#endif

BENCHMARK(mixed_in_threads<picklable>)->Name("allocation/4 threads")->UseRealTime();
BENCHMARK(mixed_in_threads<glibc>)->Name("allocation/4 threads, glibc")->UseRealTime();
#if defined(STACKLESS_PERF_MIMALLOC)
BENCHMARK(mixed_in_threads<perf::mimalloc>)->Name("allocation/4 threads, mimalloc")->UseRealTime();
#endif

BENCHMARK(remote<picklable>)->Name("allocation/freed elsewhere")->UseRealTime();
BENCHMARK(remote<glibc>)->Name("allocation/freed elsewhere, glibc")->UseRealTime();
#if defined(STACKLESS_PERF_MIMALLOC)
BENCHMARK(remote<perf::mimalloc>)->Name("allocation/freed elsewhere, mimalloc")->UseRealTime();
#endif

}  // namespace
