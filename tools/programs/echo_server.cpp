// Sends back what it is sent:
//
//   $ echo_server --port 7007 &
//   7007
//   $ nc localhost 7007

#include "server.hpp"

void echo(connection& c) {
  char bytes[4096];
  for (std::string_view received; !(received = c.receive(bytes)).empty();) {
    if (!c.send(received)) return;
  }
}

int main(int argc, char** argv) {
  return serve(argc, argv, echo);
}
