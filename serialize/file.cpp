#include "serialize/file.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <system_error>
#include <utility>

#include "serialize/frame.hpp"
#include "serialize/scratch.hpp"

STACKLESS_BEGIN
namespace snapshot {

namespace {

[[noreturn]] void fail(std::string_view path, std::string reason, std::string hint = {}) {
  auto about = failure(path, std::move(reason));
  about.hint = std::move(hint);
  throw snapshot_error(snapshot_error::kind::io, std::move(about));
}

[[noreturn]] void fail(std::string_view path, const char* action, int error) {
  fail(path, std::string(action) + ": " + std::generic_category().message(error));
}

template <class Call>
auto retried(Call call) {
  auto result = call();
  while (result == -1 && errno == EINTR) result = call();
  return result;
}

class descriptor {
 public:
  explicit descriptor(int fd) : fd_(fd) {}
  descriptor(const descriptor&) = delete;
  descriptor& operator=(const descriptor&) = delete;
  ~descriptor() {
    if (fd_ != -1) ::close(fd_);
  }

  int get() const { return fd_; }

  /// Some file systems tell only now that a write has failed. After EINTR the descriptor is closed all the
  /// same.
  int close() {
    const int result = ::close(std::exchange(fd_, -1));
    return result == -1 && errno != EINTR ? -1 : 0;
  }

 private:
  int fd_;
};

/// A new file beside the one to be replaced; gone again unless it was renamed.
class temporary {
 public:
  explicit temporary(std::string pattern)
      : name_(std::move(pattern)), file_(::mkostemp(name_.data(), O_CLOEXEC)) {}
  temporary(const temporary&) = delete;
  temporary& operator=(const temporary&) = delete;
  ~temporary() {
    if (exists_) ::unlink(name_.c_str());
  }

  descriptor& file() { return file_; }

  int rename_to(const std::string& path) {
    const int result = ::rename(name_.c_str(), path.c_str());
    if (result == 0) exists_ = false;
    return result;
  }

  /// Unlike that, fails if there is something already.
  int link_to(const std::string& path) {
    const int result = ::link(name_.c_str(), path.c_str());
    if (result == 0) exists_ = ::unlink(name_.c_str()) != 0;
    return result;
  }

 private:
  std::string name_;
  descriptor file_;
  bool exists_ = file_.get() != -1;
};

// Larger writes are cut by the kernel anyway, and a signal is noticed between two of them.
constexpr std::size_t largest_transfer = std::size_t{1} << 30;
constexpr std::size_t first_buffer = std::size_t{64} << 10;

/// `forbidden`: permissions that the file must not give.
std::pmr::vector<std::byte> read_regular(const std::string& path, mode_t forbidden) {
  // O_NONBLOCK: opening a pipe would wait for somebody to write to it.
  const descriptor file(
      retried([&] { return ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK); }));
  if (file.get() == -1) fail(path, "cannot open", errno);
  struct stat about;
  if (::fstat(file.get(), &about) == -1) fail(path, "cannot open", errno);
  if (S_ISDIR(about.st_mode)) fail(path, "cannot read", EISDIR);
  if (!S_ISREG(about.st_mode)) fail(path, "cannot read: not a regular file");
  if ((about.st_mode & forbidden) != 0)
    fail(path, "others than its owner may read or write it", "chmod 600 " + path);
  return read_fd(file.get(), path);
}

void write_whole(const std::string& path, std::span<const std::byte> bytes,
                 int (temporary::*put_in_place)(const std::string&)) {
  const std::size_t slash = path.rfind('/');
  const std::string folder = slash == path.npos ? "./" : path.substr(0, slash + 1);

  // What is replaced must be a file: renaming over a device would remove it.
  struct stat old;
  if (::stat(path.c_str(), &old) == 0) {
    if (S_ISDIR(old.st_mode)) fail(path, "cannot write", EISDIR);
    if (!S_ISREG(old.st_mode)) fail(path, "cannot write: not a regular file");
  } else if (errno != ENOENT) {
    fail(path, "cannot write", errno);
  }

  descriptor directory(retried([&] { return ::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC); }));
  if (directory.get() == -1) fail(path, "cannot open its folder", errno);
  temporary fresh(folder + ".stackless-XXXXXX");
  if (fresh.file().get() == -1) fail(path, "cannot create a file in its folder", errno);

  for (auto left = bytes; !left.empty();) {
    const std::size_t part = std::min(left.size(), largest_transfer);
    const ssize_t put = retried([&] { return ::write(fresh.file().get(), left.data(), part); });
    if (put == -1) fail(path, "cannot write", errno);
    left = left.subspan(static_cast<std::size_t>(put));
  }
  if (retried([&] { return ::fsync(fresh.file().get()); }) == -1) fail(path, "cannot write", errno);
  if (fresh.file().close() == -1) fail(path, "cannot write", errno);
  if ((fresh.*put_in_place)(path) == -1) fail(path, "cannot put it in place", errno);

  // Some file systems have no such call for folders.
  if (retried([&] { return ::fsync(directory.get()); }) == -1 && errno != EINVAL)
    fail(path, "written, but cannot make the change of its folder permanent", errno);
}

}  // namespace

std::pmr::vector<std::byte> read_fd(int fd, std::string_view name) {
  struct stat about;
  if (::fstat(fd, &about) == -1) fail(name, "cannot read", errno);
  std::pmr::vector<std::byte> bytes(scratch());
  // One byte more than expected, so that the end of the file shows without growing.
  bytes.resize(S_ISREG(about.st_mode) && about.st_size > 0 ? static_cast<std::size_t>(about.st_size) + 1
                                                           : first_buffer);
  for (std::size_t filled = 0;;) {
    const std::size_t room = std::min(bytes.size() - filled, largest_transfer);
    const ssize_t got = retried([&] { return ::read(fd, bytes.data() + filled, room); });
    if (got == -1) fail(name, "cannot read", errno);
    if (got == 0) {
      bytes.resize(filled);
      return bytes;
    }
    filled += static_cast<std::size_t>(got);
    if (filled == bytes.size()) bytes.resize(2 * filled);
  }
}

std::pmr::vector<std::byte> read_file(const std::string& path) {
  return read_regular(path, 0);
}

std::pmr::vector<std::byte> read_private_file(const std::string& path) {
  return read_regular(path, 077);
}

void write_file(const std::string& path, std::span<const std::byte> bytes) {
  write_whole(path, bytes, &temporary::rename_to);
}

void write_new_file(const std::string& path, std::span<const std::byte> bytes) {
  write_whole(path, bytes, &temporary::link_to);
}

}  // namespace snapshot
STACKLESS_END
