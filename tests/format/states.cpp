// `states` saves tasklets in each state that a snapshot knows, to files that are named for it. The one in
// reaching.snap has handles to two others, one not started and one dead.

#include <stackless/stackless.hpp>
#include <stdexcept>
#include <string>

stackless::channel<int> numbers;
stackless::channel<std::string> texts;

void receive() {
  numbers.receive();
}

void send() {
  texts.send("a text that is too long for the small buffer");
}

void send_failure() {
  numbers.send_exception(std::runtime_error("nothing to send"));
}

int main() {
  stackless::tasklet not_started([name = std::string("a capture that is too long for the small buffer")] {});
  stackless::dump(not_started, "not_started.snap");
  not_started.remove();

  stackless::tasklet dead([] {});
  stackless::tasklet reaching([dead, not_started] { stackless::schedule_remove(); });
  stackless::tasklet receiving(receive);
  stackless::tasklet sending(send);
  stackless::run();
  stackless::dump(receiving, "receiving.snap");
  stackless::dump(sending, "sending.snap");
  stackless::dump(reaching, "reaching.snap");

  numbers.send(1);
  stackless::tasklet failing(send_failure);
  stackless::run();
  stackless::dump(failing, "failing.snap");

  texts.receive();
  try {
    numbers.receive();
  } catch (const std::runtime_error&) {
  }
}
