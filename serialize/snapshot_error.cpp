#include <cstdio>
#include <stackless/snapshot_error.hpp>
#include <utility>

STACKLESS_BEGIN

namespace {

std::string one_line(const snapshot_error::details& about) {
  std::string line = about.file;
  if (!about.section.empty()) {
    char at[32] = "";
    if (about.offset != 0)
      std::snprintf(at, sizeof at, " at 0x%llx", static_cast<unsigned long long>(about.offset));
    line += (line.empty() ? "section " : ": section ") + about.section + at;
  }
  if (!line.empty()) line += ": ";
  line += about.reason;
  if (!about.expected.empty() && !about.found.empty())
    line += " (expected " + about.expected + ", found " + about.found + ")";
  else if (!about.expected.empty())
    line += " (expected " + about.expected + ")";
  else if (!about.found.empty())
    line += " (found " + about.found + ")";
  // Names come from files and command lines; whatever is in them, a message stays one line.
  for (char& c : line)
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) c = '?';
  return line;
}

}  // namespace

snapshot_error::snapshot_error(kind why, details about)
    : std::runtime_error(one_line(about)), kind_(why), details_(std::move(about)) {}

STACKLESS_END
