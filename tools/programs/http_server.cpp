// Serves a few texts by HTTP, with a tasklet for each connection:
//
//   $ http_server --port 8080 &
//   8080
//   $ curl http://localhost:8080/
//   Hello, world!

#include "http.hpp"
#include "server.hpp"

void answer_requests(connection& c) {
  http_session session;
  char bytes[4096];
  while (!session.over()) {
    const std::string_view received = c.receive(bytes);
    if (received.empty()) return;
    session.take(received);
    if (!c.send(session.output())) return;
    session.output().clear();
  }
  c.finish();
}

int main(int argc, char** argv) {
  return serve(argc, argv, answer_requests);
}
