#pragma once

/// A tasklet and all the bytes of its snapshot, wherever these go to or come from.

#include <cstddef>
#include <memory_resource>
#include <span>
#include <stackless/tasklet.hpp>
#include <string>
#include <vector>

STACKLESS_BEGIN
namespace snapshot {

/// What messages call bytes that are in no file.
inline constexpr char in_memory[] = "<memory>";

/// `file` is for messages, here and below. Throws snapshot_error{not_restorable}.
std::pmr::vector<std::byte> bytes_of(const stackless::tasklet& t, const std::string& file);

/// Throws snapshot_error.
stackless::tasklet from_bytes(std::span<const std::byte> bytes, const std::string& file);

}  // namespace snapshot
STACKLESS_END
