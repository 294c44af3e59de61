#pragma once

/// Waiting for the time and for file descriptors: the tasklet waits, the thread goes on. The optional component
/// stackless::events, which needs libuv.
///
///   void serve(int fd) {                              // which has O_NONBLOCK set
///     stackless::descriptor ready(fd);
///     char bytes[4096];
///     for (;;) {
///       const ssize_t n = read(fd, bytes, sizeof bytes);
///       if (n > 0) consume(bytes, n);
///       else if (n == 0 || errno != EAGAIN) return;
///       else if (!ready.wait_readable(30s)) return;  // nothing came for so long
///     }
///   }
///
/// Who waits is blocked as on a channel: kill() and throw_exception() end the wait, and so does the end of a `timeout`.
/// run() returns when nobody waits for an event any more. What waits belongs to the thread that made it. Deadlines are
/// never met early, and up to a millisecond late while the whole thread waits.

#include <chrono>
#include <optional>
#include <system_error>
#include <utility>

#include <stackless/channel.hpp>
#include <stackless/error.hpp>
#include <stackless/heap.hpp>
#include <stackless/tasklet.hpp>

STACKLESS_BEGIN

using event_clock = std::chrono::steady_clock;

/// The time in which something had to be done is up: see `timeout`.
class timeout_error : public error {
 public:
  using error::error;
};

/// Nobody can wait for this descriptor: it is not open, or it is one of a regular file or a folder. Nothing has changed.
class descriptor_error : public error {
 public:
  descriptor_error(int descriptor, std::error_code why);

  int descriptor() const noexcept { return descriptor_; }
  const std::error_code& code() const noexcept { return code_; }

 private:
  int descriptor_;
  std::error_code code_;
};

/// Blocks the caller until then, or for so long. If that is over already, it only gives the others their turn.
/// Throws as channel<T>::receive does.
void sleep_until(event_clock::time_point);
void sleep_for(std::chrono::nanoseconds);

/// Blocks the caller until a read from `fd` (a write to it) would not block, be it for an error or the end. True: that
/// is so now; false: the time was up first. Any number of tasklets may wait for one descriptor, and all who wait for the
/// same of it go on together. Throws descriptor_error, and as channel<T>::receive does.
///
/// `fd` has to stay open while somebody waits for it. Nothing is registered afterwards, so it may be closed then. Whoever
/// waits often keeps a `descriptor`.
bool wait_readable(int fd, std::optional<std::chrono::nanoseconds> timeout = std::nullopt);
bool wait_readable(int fd, event_clock::time_point deadline);
bool wait_writable(int fd, std::optional<std::chrono::nanoseconds> timeout = std::nullopt);
bool wait_writable(int fd, event_clock::time_point deadline);

/// While it lives, the kernel keeps in mind what was last waited for at a descriptor: a wait for the same again costs no
/// system call of its own. It neither opens nor closes the descriptor, which has to be open for as long.
class descriptor {
 public:
  /// Throws descriptor_error.
  explicit descriptor(int fd);
  ~descriptor();
  descriptor(descriptor&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  descriptor& operator=(descriptor other) noexcept {
    std::swap(fd_, other.fd_);
    return *this;
  }

  int fd() const noexcept { return fd_; }

  template <class... Time>
  bool wait_readable(Time... time) const {
    return stackless::wait_readable(fd_, time...);
  }
  template <class... Time>
  bool wait_writable(Time... time) const {
    return stackless::wait_writable(fd_, time...);
  }

 private:
  int fd_;
};

namespace detail {

// What an event loop reaches lies in the heap: the stack of who waits may be away.

/// Of a timeout.
struct deadline {
  explicit deadline(event_clock::time_point t) : time(t) {}

  event_clock::time_point time;
  tasklet whose = current();
  bool expired = false;
};

/// Of an alarm.
struct appointment {
  explicit appointment(event_clock::time_point t) : time(t) {}

  event_clock::time_point time;
  channel<void> signal{1};  ///< it keeps it until somebody receives
};

}  // namespace detail

/// If it still lives when the time is up, timeout_error is thrown in the tasklet that made it: where it waits, or where
/// it next gives way. They nest; each throws once.
///
///   try {
///     stackless::timeout limit(5s);
///     answer = converse(fd);
///   } catch (const stackless::timeout_error&) {
///   }
class timeout {
 public:
  explicit timeout(event_clock::time_point deadline);
  explicit timeout(std::chrono::nanoseconds);
  ~timeout();
  timeout(const timeout&) = delete;
  timeout& operator=(const timeout&) = delete;

  /// This one has thrown. Tells which of several it was.
  bool expired() const noexcept { return set_->expired; }

 private:
  const heap::owned<detail::deadline> set_;
};

/// A channel that one signal can be received from when the time has come. run() waits for it. Destroyed before, it never
/// sends.
class alarm {
 public:
  explicit alarm(event_clock::time_point);
  explicit alarm(std::chrono::nanoseconds);
  ~alarm();
  alarm(const alarm&) = delete;
  alarm& operator=(const alarm&) = delete;

  stackless::channel<void>& channel() noexcept { return set_->signal; }

 private:
  const heap::owned<detail::appointment> set_;
};

STACKLESS_END
