#pragma once

#include <cstddef>
#include <memory_resource>
#include <vector>

#include "serialize/image.hpp"

STACKLESS_BEGIN
namespace snapshot {

/// The bytes of a snapshot file, in place of what `out` held. Equal images give equal bytes.
/// `what` keeps the rules of FORMAT.md; of those, only what could not be expressed in bytes is checked here,
/// and breaking it is a std::logic_error.
void write(const image& what, std::pmr::vector<std::byte>& out);

}  // namespace snapshot
STACKLESS_END
