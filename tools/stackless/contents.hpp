#pragma once

/// What there is to say about a snapshot, before it has a form: text in inspect.cpp, JSON in json.cpp.

#include <cstddef>
#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "serialize/image.hpp"

namespace cli {

/// A snapshot and what its image leaves out.
struct contents {
  std::string file;
  std::size_t size;
  std::uint32_t written_by, min_reader;
  stackless::snapshot::image image;
};

/// Throws snapshot_error.
contents contents_of(const std::string& file);

const char* name_of(stackless::snapshot::state);

/// Whether those who wait on it are sending or receiving.
stackless::snapshot::state waits_for(const stackless::snapshot::image&, const stackless::snapshot::channel&);

/// How many blocks there are of each size.
std::map<std::uint64_t, std::size_t> blocks_by_size(const stackless::snapshot::image&);

/// Words that were left behind; all else comes back.
struct lost_words {
  std::size_t foreign = 0;    ///< led to memory that no snapshot carries
  std::size_t strangers = 0;  ///< led to tasklets that are not in this one
};
lost_words left_behind(const stackless::snapshot::image&);

}  // namespace cli
