#pragma once

/// The frame of a snapshot file: the header and the headers of its sections. FORMAT.md is the norm.

#include <array>
#include <cstddef>
#include <cstdint>
#include <stackless/config.hpp>
#include <string_view>

STACKLESS_BEGIN
namespace snapshot {

// Numbers that are stored: never change or reuse one.

using magic_number = std::array<unsigned char, 8>;

/// The high bit shows a 7-bit channel, CR LF and LF show translated line ends, 0x1a stops a listing.
inline constexpr magic_number magic = {0x8b, 'S', 'L', 'C', '\r', '\n', 0x1a, '\n'};
inline constexpr magic_number sealed_magic = {0x8b, 'S', 'E', 'A', '\r', '\n', 0x1a, '\n'};

inline constexpr std::uint32_t format_version = 1;  ///< of this writer, and the newest that this reader knows
inline constexpr std::uint32_t oldest_reader =
    1;  ///< the oldest format version whose readers understand this writer
inline constexpr std::uint64_t sealed_version = 1;  ///< of sealed files

// Flags of a tasklet; never changed, and never used again.
inline constexpr std::uint8_t flag_block_trap = 1;
inline constexpr std::uint8_t flag_atomic = 2;
inline constexpr std::uint8_t flag_sends_failure = 4;
inline constexpr std::uint8_t flag_sliced = 8;

enum class section : std::uint32_t {
  machine = 1,
  modules = 2,
  tasklets = 3,
  frames = 4,
  channels = 5,
  stacks = 6,
  spans = 7,
  heap = 8,
  words = 9,
  end = 0xffff'ffff,
};

/// All that version 1 knows, in the order of the file: types ascend.
inline constexpr std::array sections = {
    section::machine, section::modules, section::tasklets, section::frames, section::channels,
    section::stacks,  section::spans,   section::heap,     section::words,  section::end};

/// Empty: not known.
constexpr std::string_view name(section type) {
  switch (type) {
    case section::machine:
      return "MACHINE";
    case section::modules:
      return "MODULES";
    case section::tasklets:
      return "TASKLETS";
    case section::frames:
      return "FRAMES";
    case section::channels:
      return "CHANNELS";
    case section::stacks:
      return "STACKS";
    case section::spans:
      return "SPANS";
    case section::heap:
      return "HEAP";
    case section::words:
      return "WORDS";
    case section::end:
      return "END";
  }
  return {};
}

/// Section flag: a reader that does not know the type must refuse the file; without it, skips the section.
inline constexpr std::uint32_t critical = 1;

/// A digest covers everything that follows it: in the header to the end of the file, in a section to the end
/// of the payload. So both are computed over one run of bytes.
using digest = std::array<std::byte, 16>;

namespace file_header {
inline constexpr std::size_t digest_at = 8;
inline constexpr std::size_t written_by_at = 24;
inline constexpr std::size_t min_reader_at = 28;
inline constexpr std::size_t size_at = 32;
inline constexpr std::size_t size = 40;
}  // namespace file_header

namespace section_header {
inline constexpr std::size_t digest_at = 0;
inline constexpr std::size_t type_at = 16;
inline constexpr std::size_t flags_at = 20;
inline constexpr std::size_t length_at = 24;
inline constexpr std::size_t size = 32;
}  // namespace section_header

/// Of a sealed file. All of it is authenticated with what follows it: the ciphertext and its tag.
namespace sealed_header {
inline constexpr std::size_t version_at = 8;
inline constexpr std::size_t size_at = 16;
inline constexpr std::size_t key_id_at = 24;
inline constexpr std::size_t nonce_at = 40;
inline constexpr std::size_t size = 64;
}  // namespace sealed_header

/// Sections begin at multiples of this; the gap is zero.
inline constexpr std::size_t section_alignment = 8;

/// Granularity of the region: slots and spans begin and end at multiples of it.
inline constexpr std::uint64_t granule = 65'536;
/// Records begin at multiples of this, and no two of them are closer.
inline constexpr std::uint64_t record_alignment = 64;
/// Cells of a span are multiples of this.
inline constexpr std::uint64_t cell_alignment = 16;

}  // namespace snapshot
STACKLESS_END
