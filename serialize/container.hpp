#pragma once

/// The frame of a snapshot file taken apart: header, section headers, digests. What the sections say is the
/// reader's.

#include <algorithm>
#include <array>
#include <cstring>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include "serialize/encoding.hpp"
#include "serialize/format.hpp"
#include "serialize/frame.hpp"

STACKLESS_BEGIN
namespace snapshot {

class container {
 public:
  /// Checks magic, version, size, the digest of each section, so that damage has a name and a place, and then
  /// that of the file. `bytes` and `file` are referred to. Throws snapshot_error{damaged, too_new}.
  container(std::span<const std::byte> bytes, std::string_view file) : bytes_(bytes), file_(file) {
    check_header();
    find_sections();
    check_digest(file_header::digest_at, bytes_.size(), {}, 0);
    of(section::end).finish();
  }

  input& of(section type) {
    return inputs_[static_cast<std::size_t>(std::find(sections.begin(), sections.end(), type) -
                                            sections.begin())];
  }

 private:
  void check_header() const {
    if (!begins_with(bytes_, magic)) refuse_magic();
    check_least(bytes_.size(), file_header::size, file_);

    const auto written_by = load<std::uint32_t>(bytes_.data() + file_header::written_by_at);
    const auto min_reader = load<std::uint32_t>(bytes_.data() + file_header::min_reader_at);
    if (min_reader == 0 || min_reader > written_by)
      refuse("no writer of format " + std::to_string(written_by) + " asks for readers of format " +
             std::to_string(min_reader));
    if (min_reader > format_version)
      too_new("written in format " + std::to_string(written_by) + " for readers of format " +
              std::to_string(min_reader) + " and newer; this one reads format " +
              std::to_string(format_version));

    check_size(bytes_.size(), load<std::uint64_t>(bytes_.data() + file_header::size_at), file_);
  }

  [[noreturn]] void refuse_magic() const {
    if (begins_with(bytes_, sealed_magic)) {
      auto about = failure(file_, "sealed: give the key to read it");
      about.hint = "stackless::load(path, key), of <stackless/sealing.hpp>, takes the key";
      throw snapshot_error(snapshot_error::kind::sealed, std::move(about));
    }
    auto about = failure(file_, "not a snapshot");
    if (bytes_.size() >= 4 && std::memcmp(bytes_.data() + 1, magic.data() + 1, 3) == 0)
      about.hint = "a transfer as text seems to have changed it: transfer it as binary";
    throw snapshot_error(snapshot_error::kind::damaged, std::move(about));
  }

  void find_sections() {
    std::size_t at = file_header::size;
    std::uint32_t previous = 0;
    for (std::size_t i = 0; i != sections.size();) {
      const auto left = bytes_.subspan(at);
      if (left.size() < section_header::size) refuse("ends before section " + std::string(name(sections[i])));
      const auto type = load<std::uint32_t>(left.data() + section_header::type_at);
      const auto flags = load<std::uint32_t>(left.data() + section_header::flags_at);
      const auto length = load<std::uint64_t>(left.data() + section_header::length_at);
      const auto known = name(section{type});
      const auto title = known.empty() ? std::to_string(type) : std::string(known);
      const auto fail = [&](std::string reason) { refuse(std::move(reason), title, at); };

      if (length > left.size() - section_header::size) fail("longer than the file");
      const auto used = section_header::size + static_cast<std::size_t>(length);
      check_digest(at, at + used, title, at);
      const auto padded = (used + section_alignment - 1) / section_alignment * section_alignment;
      if (padded > left.size()) fail("padding is missing");
      for (std::size_t j = used; j != padded; ++j)
        if (left[j] != std::byte{0}) fail("padding is not zero");

      if (type <= previous) fail("out of order, or there twice");
      previous = type;
      if ((flags & ~critical) != 0) fail("unknown flags");
      if (known.empty()) {
        if (flags == critical) too_new("not known, and marked as not to be skipped", title, at);
      } else {
        if (section{type} != sections[i])
          fail("section " + std::string(name(sections[i])) + " is missing before it");
        if (flags != critical) fail("not marked as critical");
        inputs_[i++] =
            input(left.subspan(section_header::size, static_cast<std::size_t>(length)), file_, known, at);
      }
      at += padded;
    }
    if (at != bytes_.size()) refuse(std::to_string(bytes_.size() - at) + " bytes follow section END");
  }

  /// The digest at `at` covers what follows it, up to `end`.
  void check_digest(std::size_t at, std::size_t end, std::string_view title, std::uint64_t offset) const {
    const std::size_t begin = at + sizeof(digest);
    const auto stored = load<digest>(bytes_.data() + at);
    const auto actual = digest_of(bytes_.subspan(begin, end - begin));
    if (stored == actual) return;
    auto about = failure_in(title, offset, "checksum mismatch");
    about.expected = hexadecimal(stored);
    about.found = hexadecimal(actual);
    throw snapshot_error(snapshot_error::kind::damaged, std::move(about));
  }

  [[noreturn]] void refuse(std::string reason, std::string_view title = {}, std::uint64_t offset = 0) const {
    throw snapshot_error(snapshot_error::kind::damaged, failure_in(title, offset, std::move(reason)));
  }

  [[noreturn]] void too_new(std::string reason, std::string_view title = {}, std::uint64_t offset = 0) const {
    refuse_as_too_new(failure_in(title, offset, std::move(reason)));
  }

  snapshot_error::details failure_in(std::string_view title, std::uint64_t offset, std::string reason) const {
    auto about = failure(file_, std::move(reason));
    about.section = title;
    about.offset = offset;
    return about;
  }

  std::span<const std::byte> bytes_;
  std::string_view file_;
  std::array<input, sections.size()> inputs_;
};

}  // namespace snapshot
STACKLESS_END
