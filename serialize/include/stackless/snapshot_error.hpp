#pragma once

#include <cstdint>
#include <stdexcept>
#include <string>

#include <stackless/config.hpp>

STACKLESS_BEGIN

/// Why a snapshot could not be written or brought back. Nothing was changed: no tasklet, no file. (One `io` error says
/// that the new file is in place, but may not survive a crash.)
class snapshot_error : public std::runtime_error {
 public:
  enum class kind {
    io,              ///< the file could not be opened, read or written
    damaged,         ///< the bytes are not those that were written
    too_new,         ///< written in a format that this reader does not know
    wrong_program,   ///< another build of the program, or a library that frames return into is missing
    wrong_machine,   ///< another kind of CPU
    home_taken,      ///< something lives at the addresses it has to come back to, or waits at its channel's other side
    not_restorable,  ///< it holds something that cannot be saved
    sealed,          ///< it is sealed, and was to be read without a key
    not_sealed,      ///< it is not sealed, and was to be read with a key
    wrong_key,       ///< it is sealed with another key
  };

  /// What is known of a failure; the fields that do not apply stay empty.
  struct details {
    std::string file;     ///< path, or "<memory>"
    std::string section;  ///< name of the section of the file
    std::uint64_t offset = 0;  ///< of the section in the file, bytes; meaningful with `section`
    std::string reason;   ///< one line, no full stop
    std::string expected, found;
    std::string hint;     ///< what to do about it
  };

  snapshot_error(kind, details);

  kind reason() const noexcept { return kind_; }
  const details& about() const noexcept { return details_; }

 private:
  kind kind_;
  details details_;
};

STACKLESS_END
