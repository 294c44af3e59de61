#include "net.hpp"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/signalfd.h>
#include <sys/socket.h>

#include <cerrno>
#include <charconv>
#include <csignal>
#include <cstdio>
#include <string_view>
#include <system_error>

namespace {

int checked(int result, const char* call) {
  if (result < 0) throw std::system_error(errno, std::generic_category(), call);
  return result;
}

}  // namespace

std::optional<std::uint16_t> port_option(int argc, char** argv) {
  if (argc == 1) return 0;
  if (argc == 3 && std::string_view(argv[1]) == "--port") {
    const std::string_view text = argv[2];
    std::uint16_t port;
    const auto [end, error] = std::from_chars(text.begin(), text.end(), port);
    if (error == std::errc() && end == text.end()) return port;
  }
  std::fprintf(stderr, "usage: %s [--port N]\n", argv[0]);
  return std::nullopt;
}

unique_fd listen_on(std::uint16_t port) {
  unique_fd s(checked(socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), "socket"));
  const int on = 1;
  checked(setsockopt(s.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on), "setsockopt");
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  checked(bind(s.get(), reinterpret_cast<sockaddr*>(&address), size), "bind");
  checked(listen(s.get(), SOMAXCONN), "listen");
  checked(getsockname(s.get(), reinterpret_cast<sockaddr*>(&address), &size), "getsockname");
  std::printf("%d\n", ntohs(address.sin_port));
  std::fflush(stdout);
  return s;
}

unique_fd accept_from(int listener) {
  unique_fd client(accept4(listener, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
  const int on = 1;
  if (client) setsockopt(client.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  return client;
}

unique_fd stop_requests() {
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGTERM);
  sigaddset(&signals, SIGINT);
  checked(sigprocmask(SIG_BLOCK, &signals, nullptr), "sigprocmask");
  return unique_fd(checked(signalfd(-1, &signals, SFD_NONBLOCK | SFD_CLOEXEC), "signalfd"));
}
