// Giving way through the ring: each flow in turn.

#include "flows/flows.hpp"
#include "groups.hpp"
#include "row.hpp"

namespace perf {
namespace {

/// A function of its own and no lambda, so that all who call it by the same calls run the same code.
template <class Kind>
struct give_way {
  [[gnu::always_inline]] void operator()() const { Kind::yield(); }
};

/// The flows that give way until they are told to stop.
template <class Kind>
class yielders {
 public:
  template <class Calls>
  void start(long flows) {
    running_ += flows;
    for (long i = 0; i < flows; ++i) {
      Kind::start([this] {
        while (!stop_) {
          ++yields_;
          Calls::call(give_way<Kind>());
        }
        --running_;
      });
    }
  }

  long yields() const { return yields_; }

  void stop() {
    stop_ = true;
    while (running_ != 0) Kind::yield();
  }

 private:
  long running_ = 0, yields_ = 0;
  bool stop_ = false;
};

/// The caller and `flows` others of each kind of calls; the caller gives way as the first does.
template <class Kind, class First, class... Others>
void yield(benchmark::State& state, long flows) {
  yielders<Kind> others;
  others.template start<First>(flows);
  (others.template start<Others>(flows), ...);
  Kind::yield();
  const long before = others.yields();
  long rounds = 0;
  for (auto _ : state) {
    ++rounds;
    First::call(give_way<Kind>());
  }
  const long per_round = flows * (1 + sizeof...(Others));
  const bool right = others.yields() - before == rounds * per_round;
  others.stop();
  finish(state, static_cast<double>(1 + per_round), right);
}

template <class Kind>
constexpr auto yield_by_eight =
    yield<Kind, three_deep<0>, three_deep<1>, three_deep<2>, three_deep<3>, three_deep<4>, three_deep<5>,
          three_deep<6>, three_deep<7>>;

}  // namespace

void add_yield(const plan& p) {
  for_each_kind(p.stage, [&]<class Kind>() {
    if constexpr (has_scheduler<Kind>) {
      add(p, "yield/2 flows", Kind::name, yield<Kind, directly>, 1);
      add(p, "yield/1,000 flows", Kind::name, yield<Kind, directly>, 999);
      add(p, "yield/3 calls deep, 2 flows", Kind::name, yield<Kind, three_deep<>>, 1);
      add(p, "yield/3 calls deep, 9 flows, one code", Kind::name, yield<Kind, three_deep<>>, 8);
      add(p, "yield/3 calls deep, 9 flows, 8 codes", Kind::name, yield_by_eight<Kind>, 1);
    }
  });
}

}  // namespace perf
