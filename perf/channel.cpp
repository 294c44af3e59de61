// Messages through a channel, from one sender to one receiver.

#include <string>
#include <utility>

#include "flows/flows.hpp"
#include "groups.hpp"
#include "messages.hpp"
#include "row.hpp"

namespace perf {
namespace {

template <class Kind, int Layout = 0>
void message(benchmark::State& state) {
  typename Kind::template channel<long> c;
  send_messages<Kind, Layout>(state, c);
}

/// Where the linker puts the two loops decides how well the CPU predicts their jumps.
template <int... Layout>
void add_layouts(const plan& p, std::integer_sequence<int, Layout...>) {
  (add(p, "channel/message, code moved, layout " + std::to_string(Layout + 1), tasklets::name,
       message<tasklets, Layout + 1>),
   ...);
}

template <class Kind>
void string_message(benchmark::State& state) {
  typename Kind::template channel<std::string> c;
  std::size_t received = 0, sent = 0;
  bool receives = true;
  Kind::start([&] {
    for (std::string s = c.receive(); !s.empty(); s = c.receive()) received += s.size();
    receives = false;
  });
  Kind::yield();
  for (auto _ : state) {
    c.send(std::string("short"));
    sent += 5;
  }
  c.send(std::string());
  while (receives) Kind::yield();
  finish(state, 1, received == sent);
}

}  // namespace

void add_channel(const plan& p) {
  for_each_kind(p.stage, [&]<class Kind>() {
    if constexpr (has_scheduler<Kind>) {
      add(p, "channel/message", Kind::name, message<Kind>);
      add(p, "channel/message, std::string", Kind::name, string_message<Kind>);
    }
  });
  if (p.stage == stage::one_thread) add_layouts(p, std::make_integer_sequence<int, 8>());
}

}  // namespace perf
