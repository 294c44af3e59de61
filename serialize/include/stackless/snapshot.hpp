#pragma once

/// Tasklets into files and back to life.
///
///   stackless::dump(t, "t.snap");                  // here: t goes on as if nothing had happened
///   stackless::load("t.snap").insert();            // in another process of the same program, or later in this one
///
/// A snapshot holds the tasklet's native stack and every block of the picklable heap that it can reach, and comes back
/// to the same addresses. Restoring one is running its code: load what you trust.

#include <cstddef>
#include <span>
#include <string>
#include <vector>

#include <stackless/snapshot_error.hpp>
#include <stackless/tasklet.hpp>

STACKLESS_BEGIN

/// Writes `t`, and the tasklets that it holds handles to or whose channel it holds, to a file: at every moment the path
/// leads to the old file or to the new one, both whole.
/// Throws snapshot_error: not_restorable, io.
void dump(const tasklet& t, const std::string& path);

/// The bytes of such a file.
std::vector<std::byte> dumps(const tasklet& t);

/// The tasklet in a file, paused; blocked if it waited on a channel that comes back too. Throws snapshot_error.
tasklet load(const std::string& path);

/// The tasklet in such bytes.
tasklet loads(std::span<const std::byte> bytes);

STACKLESS_END
