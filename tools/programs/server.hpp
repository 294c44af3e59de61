#pragma once

/// A server that has a tasklet for each connection.

#include <chrono>
#include <span>
#include <stackless/events.hpp>
#include <string_view>

#include "net.hpp"

/// A client, as its tasklet sees it: reading and writing wait.
class connection {
 public:
  explicit connection(unique_fd fd) : fd_(std::move(fd)), ready_(fd_.get()) {}

  /// What the client sends next, as much as there is. Empty: it has hung up, or was silent for too long.
  std::string_view receive(std::span<char> into);

  /// False: it has hung up, or takes nothing for too long.
  bool send(std::string_view);

  /// Says that no more will come, and hears the client out for a while: the kernel would throw away the last answer if
  /// the connection were closed before all that came is read.
  void finish();

 private:
  static constexpr auto patience = std::chrono::seconds(30);

  unique_fd fd_;
  stackless::descriptor ready_;
};

/// Does what `main` does, until SIGTERM or SIGINT: `converse` is called for each client, in a tasklet of its own.
int serve(int argc, char** argv, void (*converse)(connection&));
