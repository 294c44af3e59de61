// The channel demo of the talk "The Story of Stackless Python".

#include <stackless/stackless.hpp>
#include <cstdio>

stackless::channel<const char*> ch;

void receiving_tasklet() {
  std::puts("Receiving tasklet started");
  std::puts(ch.receive());
  std::puts("Receiving tasklet finished");
}

void sending_tasklet() {
  std::puts("Sending tasklet started");
  ch.send("send from sending_tasklet");
  std::puts("sending tasklet finished");
}

void another_tasklet() { std::puts("Just another tasklet in the scheduler"); }

int main() {
  stackless::tasklet{receiving_tasklet};
  stackless::tasklet{sending_tasklet};
  stackless::tasklet{another_tasklet};
  stackless::run();
}
