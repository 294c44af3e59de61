// The bare switch between two flows of control, there and back.

#include <cstddef>
#include <tuple>
#include <utility>

#include "flows/flows.hpp"
#include "groups.hpp"
#include "row.hpp"

namespace perf {
namespace {

/// The partner comes back from its loop itself.
template <class Kind, class Calls>
void ping_pong(benchmark::State& state) {
  typename Kind::template partner<directly> p;
  long expected = 0;
  for (auto _ : state) {
    Calls::call([&] { p.resume(); });
    ++expected;
  }
  finish(state, 2, p.count() == expected);
}

/// Partners one after the other, each with its own way to call; it is resumed the same way.
template <class Kind, class... Calls>
void in_turn(benchmark::State& state) {
  std::tuple<typename Kind::template partner<Calls>...> partners;
  long expected = 0;
  const auto each = [&](auto f) { std::apply([&](auto&... p) { (f.template operator()<Calls>(p), ...); }, partners); };
  for (auto _ : state) {
    each([]<class Call>(auto& p) { Call::call([&] { p.resume(); }); });
    ++expected;
  }
  bool right = true;
  each([&]<class>(auto& p) { right = right && p.count() == expected; });
  finish(state, 2 * sizeof...(Calls), right);
}

template <class Kind, int... Body>
constexpr auto in_turn_by(std::integer_sequence<int, Body...>) {
  return in_turn<Kind, three_deep<Body>...>;
}
template <class Kind, std::size_t... I>
constexpr auto in_turn_by_one(std::index_sequence<I...>) {
  return in_turn<Kind, three_deep<I * 0>...>;
}

}  // namespace

void add_switch(const plan& p) {
  for_each_kind(p.stage, [&]<class Kind>() {
    if constexpr (has_partner<Kind, directly>) add(p, "switch/ping-pong", Kind::name, ping_pong<Kind, directly>);
  });
  // Beside a switch of the kernel, where it is made does not matter.
  if (p.stage == stage::several_threads) return;
  for_each_kind(p.stage, [&]<class Kind>() {
    if constexpr (has_partner<Kind, directly>) {
      add(p, "switch/3 calls deep on one side", Kind::name, ping_pong<Kind, three_deep<>>);
    }
    if constexpr (has_partner<Kind, three_deep<>>) {
      add(p, "switch/3 calls deep, 8 partners, one code", Kind::name, in_turn_by_one<Kind>(std::make_index_sequence<8>()));
      add(p, "switch/3 calls deep, 8 partners, 8 codes", Kind::name, in_turn_by<Kind>(std::make_integer_sequence<int, 8>()));
    }
  });
}

}  // namespace perf
