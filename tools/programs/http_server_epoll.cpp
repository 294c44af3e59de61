// The same as http_server, written as a loop over epoll(7), to be measured beside it.

#include <sys/epoll.h>
#include <sys/socket.h>

#include <cerrno>
#include <csignal>
#include <memory>
#include <system_error>
#include <unordered_map>

#include "http.hpp"
#include "net.hpp"

namespace {

struct client {
  unique_fd fd;
  http_session session;
  std::size_t sent = 0;
  std::uint32_t asked = EPOLLIN;  ///< what the kernel is asked for
};

class server {
 public:
  explicit server(std::uint16_t port) : stop_(stop_requests()), listener_(listen_on(port)), epoll_(epoll_create1(EPOLL_CLOEXEC)) {
    ask(EPOLL_CTL_ADD, stop_.get(), EPOLLIN);
    ask(EPOLL_CTL_ADD, listener_.get(), EPOLLIN);
  }

  void run() {
    for (;;) {
      epoll_event events[1024];
      const int n = epoll_wait(epoll_.get(), events, std::size(events), -1);
      for (int i = 0; i < n; ++i) {
        const int fd = events[i].data.fd;
        if (fd == stop_.get()) return;
        if (fd == listener_.get()) {
          accept_clients();
        } else if (client& c = *clients_.at(fd); !go_on(c)) {
          clients_.erase(fd);
        }
      }
    }
  }

 private:
  void ask(int operation, int fd, std::uint32_t events) {
    epoll_event e{.events = events, .data = {.fd = fd}};
    if (epoll_ctl(epoll_.get(), operation, fd, &e) != 0) throw std::system_error(errno, std::generic_category(), "epoll_ctl");
  }

  void accept_clients() {
    while (unique_fd fd = accept_from(listener_.get())) {
      const int number = fd.get();
      clients_[number] = std::make_unique<client>(client{.fd = std::move(fd), .session = {}});
      ask(EPOLL_CTL_ADD, number, EPOLLIN);
    }
  }

  /// False: it is to be closed.
  bool go_on(client& c) {
    if (c.asked == EPOLLIN) {
      char bytes[4096];
      const ssize_t n = recv(c.fd.get(), bytes, sizeof bytes, 0);
      if (n <= 0) return n < 0 && errno == EAGAIN;
      if (c.session.over()) return true;  // the client is only heard out
      c.session.take({bytes, static_cast<std::size_t>(n)});
    }
    std::string& output = c.session.output();
    const ssize_t n = send(c.fd.get(), output.data() + c.sent, output.size() - c.sent, MSG_NOSIGNAL);
    if (n < 0 && errno != EAGAIN) return false;
    if (n > 0) c.sent += static_cast<std::size_t>(n);
    const bool all = c.sent == output.size();
    if (all) {
      output.clear();
      c.sent = 0;
      if (c.session.over()) shutdown(c.fd.get(), SHUT_WR);
    }
    const std::uint32_t wanted = all ? EPOLLIN : EPOLLOUT;
    if (std::exchange(c.asked, wanted) != wanted) ask(EPOLL_CTL_MOD, c.fd.get(), wanted);
    return true;
  }

  unique_fd stop_, listener_, epoll_;
  std::unordered_map<int, std::unique_ptr<client>> clients_;
};

}  // namespace

int main(int argc, char** argv) {
  const auto port = port_option(argc, argv);
  if (!port) return 2;
  server(*port).run();
  return 0;
}
