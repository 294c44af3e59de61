// What no switch can be faster than: what the CPU needs for the steps that one is made of.

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <numeric>
#include <random>
#include <string>
#include <vector>

#include "groups.hpp"
#include "row.hpp"

namespace perf {
namespace {

[[gnu::noinline]] void called(long& count) {
  ++count;
  asm volatile("" ::: "memory");
}

void call_and_return(benchmark::State& state) {
  long count = 0, expected = 0;
  for (auto _ : state) {
    called(count);
    ++expected;
  }
  finish(state, 1, count == expected);
}

/// There and back by jumps to an address in a register, as a switch is one.
[[gnu::always_inline]] inline void jump_twice(long& count) {
#if defined(__x86_64__)
  void *there, *back;
  asm volatile(
      "lea 1f(%%rip), %[there]\n\t"
      "lea 2f(%%rip), %[back]\n\t"
      "jmp *%[there]\n"
      "1:\n\t"
      "endbr64\n\t"
      "inc %[count]\n\t"
      "jmp *%[back]\n"
      "2:\n\t"
      "endbr64"
      : [there] "=&r"(there), [back] "=&r"(back), [count] "+r"(count)::"cc");
#elif defined(__aarch64__)
  void *there, *back;
  asm volatile(
      "adr %[there], 1f\n\t"
      "adr %[back], 2f\n\t"
      "br %[there]\n"
      "1:\n\t"
      "hint #36\n\t"  // bti j
      "add %[count], %[count], #1\n\t"
      "br %[back]\n"
      "2:\n\t"
      "hint #36"
      : [there] "=&r"(there), [back] "=&r"(back), [count] "+r"(count));
#endif
}

void jump_pair(benchmark::State& state) {
  long count = 0, expected = 0;
  for (auto _ : state) {
    jump_twice(count);
    ++expected;
  }
  finish(state, 2, count == expected);
}

/// A call that returns to elsewhere than behind it.
[[gnu::always_inline]] inline void return_astray(long& count) {
#if defined(__x86_64__)
  void* elsewhere;
  asm volatile(
      "lea -128(%%rsp), %%rsp\n\t"  // what the compiler keeps below the stack pointer
      "lea 2f(%%rip), %[elsewhere]\n\t"
      "call 1f\n\t"
      "ud2\n"
      "1:\n\t"
      "mov %[elsewhere], (%%rsp)\n\t"
      "ret\n"
      "2:\n\t"
      "lea 128(%%rsp), %%rsp\n\t"
      "inc %[count]"
      : [elsewhere] "=&r"(elsewhere), [count] "+r"(count)::"cc", "memory");
#elif defined(__aarch64__)
  asm volatile(
      "bl 1f\n\t"
      "udf #0\n"
      "1:\n\t"
      "adr x30, 2f\n\t"
      "ret\n"
      "2:\n\t"
      "add %[count], %[count], #1"
      : [count] "+r"(count)::"x30");
#endif
}

void mispredicted_return(benchmark::State& state) {
  long count = 0, expected = 0;
  for (auto _ : state) {
    return_astray(count);
    ++expected;
  }
  finish(state, 1, count == expected);
}

/// As a slice of a stack is copied: from two places in turn.
void copy(benchmark::State& state, std::size_t size) {
  std::array<std::vector<std::uint64_t>, 2> from;
  for (auto& words : from) words.resize(size / 8, static_cast<std::uint64_t>(&words - from.data() + 1));
  std::vector<std::uint64_t> to(size / 8);
  std::uint64_t count = 0, sum = 0;
  for (auto _ : state) {
    std::memcpy(to.data(), from[count++ % 2].data(), size);
    benchmark::ClobberMemory();
    sum += to.back();
  }
  finish(state, 1, sum == count / 2 * 3 + count % 2 && to == from[(count - 1) % 2]);
}

/// Lines of memory, each of which leads to another that nobody can foresee, round through all of them.
class labyrinth {
 public:
  explicit labyrinth(std::size_t bytes) : lines_(bytes / sizeof(line)) {
    std::vector<std::uint32_t> order(lines_.size());
    std::iota(order.begin(), order.end(), 0);
    std::shuffle(order.begin(), order.end(), std::minstd_rand(1));
    for (std::uint32_t i = 0; i < order.size(); ++i) {
      lines_[order[i]] = {&lines_[order[(i + 1) % order.size()]], i};
    }
    begin_ = &lines_[order[0]];
  }

  struct alignas(64) line {
    const line* next;
    std::uint32_t place;  ///< how many steps it is from the first
  };

  const line* begin() const { return begin_; }
  std::size_t size() const { return lines_.size(); }

 private:
  std::vector<line> lines_;
  const line* begin_;
};

void cache_miss(benchmark::State& state, std::size_t size) {
  static const labyrinth way(size);
  static const labyrinth::line* here = way.begin();  // what was walked before is in a cache
  const std::size_t before = here->place;
  std::size_t steps = 0;
  for (auto _ : state) {
    here = here->next;
    ++steps;
  }
  finish(state, 1, here->place == (before + steps) % way.size());
}

}  // namespace

void add_limits(const plan& p) {
  if (p.stage != stage::one_thread) return;
  add(p, "limits/call and return", "CPU", call_and_return);
  add(p, "limits/jump of a pair", "CPU", jump_pair);
  add(p, "limits/mispredicted return", "CPU", mispredicted_return);
  for (const std::size_t size : {256, 1024, 8192}) {
    add(p, "limits/memcpy of " + std::to_string(size) + " B", "CPU", copy, size);
  }
  constexpr std::size_t mib = std::size_t{1} << 20;
  add(p, "limits/cache miss", "CPU", cache_miss, p.smoke ? mib : 256 * mib);
}

}  // namespace perf
