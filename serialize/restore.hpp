#pragma once

#include <string_view>

#include <stackless/tasklet.hpp>

#include "serialize/image.hpp"

STACKLESS_BEGIN
namespace snapshot {

/// Brings everything in the image back to where it was: tasklets paused, or waiting on their channels again. Returns
/// the first root. `file` is for messages.
/// Throws snapshot_error (wrong_machine, wrong_program, home_taken, damaged) or memory_error, and has changed nothing.
stackless::tasklet restore(image, std::string_view file);

}  // namespace snapshot
STACKLESS_END
