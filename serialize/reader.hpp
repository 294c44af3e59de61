#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include "arch/region.hpp"
#include "serialize/image.hpp"

STACKLESS_BEGIN
namespace snapshot {

/// The addresses that a snapshot may use.
struct address_range {
  std::uint64_t begin = arch::region_begin;
  std::uint64_t end = arch::region_end;
};

/// The image in the bytes of a snapshot file. They may be anybody's: every rule of FORMAT.md is checked, so
/// what comes back can be restored without checking it again, and no more memory is used than a small
/// multiple of `bytes`. `file` is for messages. Throws snapshot_error{damaged, too_new}.
image read(std::span<const std::byte> bytes, std::string_view file, const address_range& region = {});

}  // namespace snapshot
STACKLESS_END
