#pragma once

/// What every server needs of sockets.

#include <unistd.h>

#include <cstdint>
#include <optional>
#include <utility>

/// Closes a descriptor. A negative number is none.
class unique_fd {
 public:
  explicit unique_fd(int fd = -1) : fd_(fd) {}
  unique_fd(unique_fd&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  unique_fd& operator=(unique_fd other) noexcept {
    std::swap(fd_, other.fd_);
    return *this;
  }
  ~unique_fd() {
    if (fd_ >= 0) close(fd_);
  }

  int get() const { return fd_; }
  explicit operator bool() const { return fd_ >= 0; }

 private:
  int fd_;
};

/// What `--port N` says. Without it 0: any. Nothing, and the usage is on stderr, if the arguments are others.
std::optional<std::uint16_t> port_option(int argc, char** argv);

/// A socket that clients on this machine can connect to; it does not block. Prints the port. Throws std::system_error.
unique_fd listen_on(std::uint16_t port);

/// The next client, whose socket does not block; none, with errno set, if none is there.
unique_fd accept_from(int listener);

/// A descriptor that can be read when somebody asks the process to stop: SIGTERM and SIGINT come nowhere else any more.
unique_fd stop_requests();
