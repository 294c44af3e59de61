#pragma once

/// In which order the locks of this layer are taken, where several are, and before a fork: from below to the top.

#include "arch/fork.hpp"

STACKLESS_BEGIN
namespace fork_level {

inline constexpr unsigned memory = arch::fork_level::first_above;
inline constexpr unsigned census = memory + 1;
inline constexpr unsigned inbox = census + 1;
inline constexpr unsigned channel = inbox + 1;
inline constexpr unsigned adoption = channel + 1;
inline constexpr unsigned spares = adoption + 1;

}  // namespace fork_level
STACKLESS_END
