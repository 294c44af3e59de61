#include "server.hpp"

#include <sys/socket.h>

#include <cerrno>
#include <list>
#include <stackless/stackless.hpp>
#include <vector>

using namespace std::chrono_literals;

std::string_view connection::receive(std::span<char> into) {
  // It waits first: whoever has just been answered seldom has the next question ready, and all others get their turn.
  while (ready_.wait_readable(patience)) {
    const ssize_t n = recv(fd_.get(), into.data(), into.size(), 0);
    if (n >= 0) return {into.data(), static_cast<std::size_t>(n)};
    if (errno != EAGAIN && errno != EINTR) break;
  }
  return {};
}

bool connection::send(std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t n = ::send(fd_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (n >= 0) {
      bytes.remove_prefix(static_cast<std::size_t>(n));
    } else if (errno != EINTR && (errno != EAGAIN || !ready_.wait_writable(patience))) {
      return false;
    }
  }
  return true;
}

void connection::finish() {
  shutdown(fd_.get(), SHUT_WR);
  try {
    const stackless::timeout limit(1s);
    char bytes[4096];
    while (!receive(bytes).empty()) {
    }
  } catch (const stackless::timeout_error&) {
  }
}

namespace {

/// The tasklets of the connections that are open.
using conversations = std::list<stackless::tasklet>;

void accept_clients(int listener, void (*converse)(connection&), conversations& open) {
  const stackless::descriptor ready(listener);
  for (;;) {
    if (unique_fd client = accept_from(listener)) {
      const auto place = open.emplace(open.end());
      place->bind(
          [converse, &open, place](unique_fd fd) {
            {
              connection c(std::move(fd));
              converse(c);
            }
            open.erase(place);
          },
          std::move(client));
      place->insert();
    } else if (errno == EAGAIN) {
      ready.wait_readable();
    } else {
      stackless::sleep_for(10ms);  // until others have given back what the kernel is short of
    }
  }
}

}  // namespace

int serve(int argc, char** argv, void (*converse)(connection&)) {
  const auto port = port_option(argc, argv);
  if (!port) return 2;
  const unique_fd stop = stop_requests();
  const unique_fd listener = listen_on(*port);
  conversations open;
  stackless::tasklet acceptor(accept_clients, listener.get(), converse, std::ref(open));
  stackless::wait_readable(stop.get());
  acceptor.kill();
  for (stackless::tasklet& each : open) each.kill();
  return 0;
}
