#pragma once

/// Names for the words of a snapshot that lead into modules, from the symbol tables of their files.

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "serialize/image.hpp"

namespace cli {

class symbols {
 public:
  /// Refers to `image`.
  explicit symbols(const stackless::snapshot::image& image);
  ~symbols();

  /// Where a frame goes on: `f(int)+0x1c (program)`. The function is that of the instruction before, since
  /// the last one of a function may be a call.
  std::string code(const stackless::snapshot::value& pc) { return describe(pc, 1); }

  /// What is at an address: `table+0x8 (program)`.
  std::string data(const stackless::snapshot::value& address) { return describe(address, 0); }

 private:
  class table;

  /// Without a symbol: `program+0x1234`.
  std::string describe(const stackless::snapshot::value&, std::uint64_t back);

  /// nullptr: the file is missing or another build, which has been said.
  table* table_of(std::uint32_t module);

  const stackless::snapshot::image& image_;
  std::vector<std::optional<std::unique_ptr<table>>> tables_;  ///< nothing: not yet needed
};

}  // namespace cli
