// Compiled and disassembled: the switch has to be inside these functions.

#include <stackless/channel.hpp>
#include <stackless/scheduler.hpp>

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
}
