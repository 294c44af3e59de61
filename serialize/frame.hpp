#pragma once

/// What snapshots and sealed files have in common: a magic, then a header that says how long the file is.

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <span>
#include <stackless/snapshot_error.hpp>
#include <string>
#include <string_view>
#include <utility>

#include "serialize/format.hpp"

STACKLESS_BEGIN
namespace snapshot {

/// Whether the file is one of this magic, which may be cut.
inline bool begins_with(std::span<const std::byte> bytes, const magic_number& expected) {
  const std::size_t known = std::min(bytes.size(), expected.size());
  return known != 0 && std::memcmp(bytes.data(), expected.data(), known) == 0;
}

inline snapshot_error::details failure(std::string_view file, std::string reason) {
  snapshot_error::details about;
  about.file = file;
  about.reason = std::move(reason);
  return about;
}

[[noreturn]] inline void refuse_as_damaged(std::string_view file, std::string reason) {
  throw snapshot_error(snapshot_error::kind::damaged, failure(file, std::move(reason)));
}

[[noreturn]] inline void refuse_as_too_new(snapshot_error::details about) {
  about.hint = "a newer version of the program reads it";
  throw snapshot_error(snapshot_error::kind::too_new, std::move(about));
}

/// Refuses a file that is too short to say how long it is.
inline void check_least(std::size_t size, std::size_t least, std::string_view file) {
  if (size < least)
    refuse_as_damaged(file, "truncated: at least " + std::to_string(least - size) + " bytes are missing");
}

/// Refuses a file that is not as long as its header says.
inline void check_size(std::size_t size, std::uint64_t stated, std::string_view file) {
  if (stated > size)
    refuse_as_damaged(file, "truncated: " + std::to_string(stated - size) + " bytes are missing");
  if (stated < size)
    refuse_as_damaged(file, std::to_string(size - stated) + " bytes follow the end of the snapshot");
}

}  // namespace snapshot
STACKLESS_END
