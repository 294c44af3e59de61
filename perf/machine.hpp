#pragma once

/// What the rows run on.

namespace perf {

/// Keeps the calling thread, and those that it will start, on one core: the last that it may use.
void pin();

/// To be called by a thread that is to run beside the one that was pinned, on the other cores if there are any.
void run_beside();

/// Tells the report which CPU, kernel and compiler it was.
void describe_machine();

}  // namespace perf
