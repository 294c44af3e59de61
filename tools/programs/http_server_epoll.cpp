// The same as http_server, written as a loop over epoll(7), to be measured beside it.

#include <sys/epoll.h>
#include <sys/socket.h>

#include <cerrno>
#include <string>
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
  explicit server(std::uint16_t port)
      : stop_(stop_requests()), listener_(listen_on(port)), epoll_(epoll_create1(EPOLL_CLOEXEC)) {
    ask(EPOLL_CTL_ADD, stop_, EPOLLIN, &stop_);
    ask(EPOLL_CTL_ADD, listener_, EPOLLIN, &listener_);
  }

  void run() {
    for (;;) {
      epoll_event events[1024];
      const int n = epoll_wait(epoll_.get(), events, std::size(events), -1);
      for (int i = 0; i < n; ++i) {
        void* whose = events[i].data.ptr;
        if (whose == &stop_) return;
        if (whose == &listener_) {
          accept_clients();
        } else if (client& c = *static_cast<client*>(whose); !go_on(c)) {
          clients_.erase(c.fd.get());
        }
      }
    }
  }

 private:
  void ask(int operation, const unique_fd& fd, std::uint32_t events, void* whose) {
    epoll_event e{.events = events, .data = {.ptr = whose}};
    if (epoll_ctl(epoll_.get(), operation, fd.get(), &e) != 0) {
      throw std::system_error(errno, std::generic_category(), "epoll_ctl");
    }
  }

  void accept_clients() {
    while (unique_fd fd = accept_from(listener_.get())) {
      client& c = clients_[fd.get()];
      c.fd = std::move(fd);
      ask(EPOLL_CTL_ADD, c.fd, c.asked, &c);
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
    if (output.empty()) return true;  // the question is not complete
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
    if (std::exchange(c.asked, wanted) != wanted) ask(EPOLL_CTL_MOD, c.fd, wanted, &c);
    return true;
  }

  unique_fd stop_, listener_, epoll_;
  std::unordered_map<int, client> clients_;  ///< by descriptor
};

}  // namespace

int main(int argc, char** argv) {
  const auto port = port_option(argc, argv);
  if (!port) return 2;
  server(*port).run();
  return 0;
}
