// Messages through a channel, from one sender to one receiver.

#include <stackless/channel.hpp>
#include <stackless/scheduler.hpp>
#include <stackless/tasklet.hpp>
#include <string>

#include "messages.hpp"

namespace {

void message(benchmark::State& state) {
  stackless::channel<long> c;
  perf::send_messages(state, c);
}
BENCHMARK(message)->Name("channel/message");

void string_message(benchmark::State& state) {
  stackless::channel<std::string> c;
  std::size_t received = 0, sent = 0;
  stackless::tasklet receiver([&] {
    for (;;) received += c.receive().size();
  });
  stackless::schedule();
  for (auto _ : state) {
    c.send(std::string("short"));
    sent += 5;
  }
  const bool right = received == sent;
  receiver.kill();
  perf::finish(state, 1, right);
}
BENCHMARK(string_message)->Name("channel/message, std::string");

}  // namespace
