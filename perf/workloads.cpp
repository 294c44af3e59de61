// Programs of many flows whose results are known.

#include <cstddef>
#include <deque>
#include <memory>
#include <string>

#include "flows/flows.hpp"
#include "groups.hpp"
#include "row.hpp"

namespace perf {
namespace {

template <class Kind, class T>
using channel = typename Kind::template channel<T>;

/// A token goes round through 503 flows; who gets it when it has been passed on so many times? Counts the passes.
template <class Kind>
void thread_ring(benchmark::State& state, long passes, long expected) {
  constexpr long flows = 503, end = -1;
  std::deque<channel<Kind, long>> ring(flows);
  channel<Kind, long> winner;
  long running = flows;
  for (long i = 0; i < flows; ++i) {
    Kind::start([&, i] {
      channel<Kind, long>& mine = ring[static_cast<std::size_t>(i)];
      channel<Kind, long>& next = ring[static_cast<std::size_t>((i + 1) % flows)];
      for (long token = mine.receive(); token != end; token = mine.receive()) {
        if (token == 0) {
          winner.send(i + 1);
        } else {
          next.send(token - 1);
        }
      }
      --running;
    });
  }
  Kind::yield();
  bool right = true;
  for (auto _ : state) {
    ring.front().send(passes);
    right = right && winner.receive() == expected;
  }
  for (channel<Kind, long>& each : ring) each.send(end);
  while (running != 0) Kind::yield();
  finish(state, static_cast<double>(passes), right);
}

/// A tree in which each flow begins ten others and adds up what they send; each leaf sends its number. Nobody waits to
/// send, so that a flow ends before all the others have begun. The channels are in the heap: not every kind of stack may
/// lend the addresses of its locals.
template <class Kind>
long grow(long first, long leaves) {
  if (leaves == 1) return first;
  const auto sums = std::make_unique<typename Kind::template buffered_channel<long>>(10);
  const long each = leaves / 10;
  for (long i = 0; i < 10; ++i) {
    Kind::start_now([&to = *sums, begin = first + i * each, each] { to.send(grow<Kind>(begin, each)); });
  }
  long sum = 0;
  for (int i = 0; i < 10; ++i) sum += sums->receive();
  return sum;
}

template <class Kind>
void skynet(benchmark::State& state, long leaves) {
  bool right = true;
  for (auto _ : state) right = right && grow<Kind>(0, leaves) == leaves * (leaves - 1) / 2;
  finish(state, 1, right);
}

/// A chain of flows each of which lets through what its prime does not divide. What comes out first is the next prime,
/// and makes the chain longer.
template <class Kind>
long prime(int nth) {
  constexpr long end = 0;
  std::deque<channel<Kind, long>> chain(1);
  int running = 1;
  bool stop = false;
  Kind::start([&, &out = chain.front()] {
    long n = 2;
    while (!stop) out.send(n++);
    out.send(end);
    --running;
  });
  for (int i = 1; i < nth; ++i) {
    channel<Kind, long>& in = chain.back();
    const long divisor = in.receive();
    channel<Kind, long>& out = chain.emplace_back();
    ++running;
    Kind::start([&, divisor] {
      for (long n = in.receive(); n != end; n = in.receive()) {
        if (n % divisor != 0) out.send(n);
      }
      out.send(end);
      --running;
    });
  }
  const long last = chain.back().receive();
  stop = true;
  while (chain.back().receive() != end) continue;
  while (running != 0) Kind::yield();
  return last;
}

template <class Kind>
void prime_sieve(benchmark::State& state, int nth, long expected) {
  bool right = true;
  for (auto _ : state) right = right && prime<Kind>(nth) == expected;
  finish(state, 1, right);
}

}  // namespace

void add_workloads(const plan& p) {
  const long leaves = p.smoke ? 1'000 : 1'000'000;
  const int primes = p.smoke ? 50 : 500;
  for_each_kind(p.stage, [&]<class Kind>() {
    if constexpr (has_scheduler<Kind>) {
      add(p, "workloads/pass in a ring of 503", Kind::name, thread_ring<Kind>, 1'000, 498);
      add(p, "workloads/sieve of " + std::to_string(primes) + " primes", Kind::name, prime_sieve<Kind>, primes,
          p.smoke ? 229 : 3'571);
    }
    if constexpr (starts_now<Kind>) {
      add(p, "workloads/skynet of " + std::to_string(leaves) + " leaves", Kind::name, skynet<Kind>, leaves)
          ->Repetitions(p.smoke ? 1 : 7);
    }
  });
}

}  // namespace perf
