// Compiled and disassembled: the switch has to be inside these functions.

#include <stackless/channel.hpp>
#include <stackless/scheduler.hpp>
#include <stackless/tasklet.hpp>
#include <string>

extern "C" {

void hot_schedule() {
  stackless::schedule();
}

void hot_send(stackless::channel<long>& c, long value) {
  c.send(value);
}

long hot_receive(stackless::channel<long>& c) {
  return c.receive();
}

void hot_spawn(long& a, long& b) {
  stackless::tasklet([&a, &b] { a += b; });
}

// What is live across a switch is on the stack, above the stack pointer: there ends what a slice copies.

long kept_across_schedule(long a, long b) {
  const volatile long kept = a * b;
  stackless::schedule();
  return kept;
}

void kept_across_send(stackless::channel<long>& c, long& a) {
  c.send(a);
  ++a;
}

void kept_across_receive(stackless::channel<std::string>& c, std::string& to) {
  to = c.receive();
}
}
