#pragma once

/// Why something cannot be saved, in words.

#include <string>

#include <stackless/detail/record.hpp>
#include <stackless/snapshot_error.hpp>

#include "serialize/encoding.hpp"

STACKLESS_BEGIN
namespace snapshot {

[[noreturn]] inline void refuse(const detail::record* r, const std::string& why, std::string hint) {
  snapshot_error::details about;
  about.reason = "tasklet at " + hexadecimal(reinterpret_cast<std::uintptr_t>(r)) + ": " + why;
  about.hint = std::move(hint);
  throw snapshot_error(snapshot_error::kind::not_restorable, std::move(about));
}

}  // namespace snapshot
STACKLESS_END
