// `waiting FILE` saves a tasklet that waits on a global channel, behind another one.

#include <stackless/stackless.hpp>

stackless::channel<int> numbers;

void receive() {
  numbers.receive();
}

int main(int, char** argv) {
  stackless::tasklet first(receive), second(receive);
  stackless::run();
  stackless::dump(second, argv[1]);
  numbers.send(1);
  numbers.send(2);
}
