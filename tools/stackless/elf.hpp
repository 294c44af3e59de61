#pragma once

/// What the command asks about an ELF file. Nothing in it is believed.

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "serialize/image.hpp"

struct Elf;

namespace cli {

/// "<path> is not ..."
class unusable_file : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

class elf_file {
 public:
  /// The file is opened once, so that all answers, and what is executed in the end, are about the same one.
  /// Only a regular file is opened: to open anything else may do things. Throws unusable_file.
  explicit elf_file(const std::string& path);
  elf_file(const elf_file&) = delete;
  elf_file& operator=(const elf_file&) = delete;
  ~elf_file();

  int descriptor() const { return fd_; }

  /// Nothing: a CPU that the library is not for.
  std::optional<stackless::snapshot::machine> machine() const;

  /// As snapshots name it: the GNU build-id, or what stands in for it.
  std::vector<std::byte> build_id() const;

  /// The program calls stackless::start().
  bool calls_start() const;

  /// Where it would be loaded if addresses were as they are in the file; module offsets count from here.
  std::uint64_t base() const;

 private:
  /// The description of a note; nothing if it is not there.
  std::optional<std::vector<std::byte>> note(std::string_view owner, std::uint32_t type) const;

  struct closed {
    void operator()(Elf*) const;
  };

  int fd_;
  std::unique_ptr<Elf, closed> elf_;
};

}  // namespace cli
