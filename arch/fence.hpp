#pragma once

/// The dear half of a fence whose other half costs nothing: what one thread does seldom, so that the others can do
/// without a fence what they do all the time.

#include <stackless/config.hpp>

STACKLESS_BEGIN
namespace arch {

/// Every other thread of the process has passed a full fence when this returns: of what it does from then on all
/// comes after what the caller did before, and what it did until then can be seen. False if the kernel has no such
/// call (Linux has it from 4.14 on) or a sandbox forbids it.
bool fence_all_threads() noexcept;

}  // namespace arch
STACKLESS_END
