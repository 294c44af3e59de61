#pragma once

/// Numbers as bytes: fixed width little-endian, and LEB128 in its shortest form. The input checks every
/// length against what is left and knows what it is reading, so that a failure names file, section and place.

#include <xxhash.h>

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <limits>
#include <memory_resource>
#include <span>
#include <stackless/snapshot_error.hpp>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "serialize/format.hpp"

STACKLESS_BEGIN
namespace snapshot {

static_assert(std::endian::native == std::endian::little, "numbers are copied as they lie in memory");

inline digest digest_of(std::span<const std::byte> bytes) {
  XXH128_canonical_t canonical;
  XXH128_canonicalFromHash(&canonical, XXH3_128bits(bytes.data(), bytes.size()));
  return std::bit_cast<digest>(canonical);
}

inline std::string hexadecimal(std::span<const std::byte> bytes) {
  std::string text;
  for (std::byte b : bytes) {
    text += "0123456789abcdef"[std::to_integer<unsigned>(b) >> 4];
    text += "0123456789abcdef"[std::to_integer<unsigned>(b) & 15];
  }
  return text;
}

inline std::string hexadecimal(std::uint64_t number) {
  char text[32];
  std::snprintf(text, sizeof text, "0x%llx", static_cast<unsigned long long>(number));
  return text;
}

template <class Number>
Number load(const std::byte* from) {
  Number number;
  std::memcpy(&number, from, sizeof number);
  return number;
}

template <class Number>
void store(std::byte* to, Number number) {
  std::memcpy(to, &number, sizeof number);
}

/// Appends to a buffer.
class output {
 public:
  explicit output(std::pmr::vector<std::byte>& bytes) : bytes_(bytes) {}

  void u8(std::uint8_t number) { bytes_.push_back(std::byte{number}); }

  void varint(std::uint64_t number) {
    for (; number >= 0x80; number >>= 7) u8(static_cast<std::uint8_t>(number | 0x80));
    u8(static_cast<std::uint8_t>(number));
  }

  /// Two's complement; numbers near zero, of either sign, are short.
  void zigzag(std::uint64_t number) { varint(number << 1 ^ (std::uint64_t{0} - (number >> 63))); }

  void raw(std::span<const std::byte> bytes) { bytes_.insert(bytes_.end(), bytes.begin(), bytes.end()); }

  /// Length, then bytes.
  void string(std::span<const std::byte> bytes) {
    varint(bytes.size());
    raw(bytes);
  }

 private:
  std::pmr::vector<std::byte>& bytes_;
};

/// Reads the payload of one section. Every failure is snapshot_error{damaged}.
class input {
 public:
  input() = default;

  /// `at`: offset of the section in the file.
  input(std::span<const std::byte> payload, std::string_view file, std::string_view section, std::uint64_t at)
      : begin_(payload.data()),
        next_(begin_),
        end_(begin_ + payload.size()),
        file_(file),
        section_(section),
        at_(at) {}

  std::size_t left() const { return static_cast<std::size_t>(end_ - next_); }

  std::uint8_t u8() {
    if (next_ == end_) fail_here("ends too early");
    return std::to_integer<std::uint8_t>(*next_++);
  }

  std::uint64_t varint() {
    std::uint64_t number = 0;
    for (unsigned shift = 0; shift < 64; shift += 7) {
      const std::uint64_t byte = u8();
      if (shift == 63 && byte > 1) break;
      number |= (byte & 0x7f) << shift;
      if (byte < 0x80) {
        if (byte == 0 && shift != 0) fail_here("number is not in its shortest form");
        return number;
      }
    }
    fail_here("number does not fit 64 bits");
  }

  std::uint64_t zigzag() {
    const std::uint64_t number = varint();
    return number >> 1 ^ (std::uint64_t{0} - (number & 1));
  }

  std::uint32_t varint32() {
    const std::uint64_t number = varint();
    if (number > std::numeric_limits<std::uint32_t>::max()) fail_here("number does not fit 32 bits");
    return static_cast<std::uint32_t>(number);
  }

  /// How many things follow, each of at least `least` bytes: so many may be allocated.
  std::size_t count(std::size_t least) {
    const std::uint64_t number = varint();
    if (number > left() / least) fail_here("counts more than there is room for");
    return static_cast<std::size_t>(number);
  }

  /// `last`: the greatest enumerator; all from `first` to it exist.
  template <class Enum>
  Enum enumerator(Enum first, Enum last) {
    const std::uint8_t number = u8();
    if (number < static_cast<std::uint8_t>(first) || number > static_cast<std::uint8_t>(last))
      fail_here("unknown enumerator");
    return static_cast<Enum>(number);
  }

  std::span<const std::byte> raw(std::uint64_t length) {
    if (length > left()) fail_here("ends too early");
    const std::byte* from = next_;
    next_ += length;
    return {from, static_cast<std::size_t>(length)};
  }

  /// Length, then bytes.
  std::span<const std::byte> string() { return raw(varint()); }

  void finish() const {
    if (left() != 0) fail_here("bytes are left over");
  }

  [[noreturn]] void fail(std::string reason) const {
    snapshot_error::details about;
    about.file = file_;
    about.section = section_;
    about.offset = at_;
    about.reason = std::move(reason);
    throw snapshot_error(snapshot_error::kind::damaged, std::move(about));
  }

 private:
  [[noreturn]] void fail_here(const char* reason) const {
    const auto place = at_ + section_header::size + static_cast<std::uint64_t>(next_ - begin_);
    fail(std::string(reason) + ", near " + hexadecimal(place));
  }

  const std::byte* begin_ = nullptr;
  const std::byte* next_ = nullptr;
  const std::byte* end_ = nullptr;
  std::string_view file_, section_;
  std::uint64_t at_ = 0;
};

}  // namespace snapshot
STACKLESS_END
