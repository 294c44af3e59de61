#pragma once

/// A main for programs that the command can resume.
///
///   int entry(int argc, char** argv) { ... }
///   int main(int argc, char** argv) { return stackless::start(argc, argv, entry); }
///
///   $ stackless run ./program a b c        # or just ./program a b c
///   $ stackless resume program.snap        # finds the program, checks that it is the same build
///
/// To be called by the main thread before it makes a tasklet.

#include <stackless/config.hpp>

STACKLESS_BEGIN

/// Runs `entry` in a tasklet, with a copy of argv that a snapshot can carry, until nobody can run any more.
/// Returns what `entry` returned, 0 if it did not. What leaves a tasklet uncaught is thrown.
///
/// If the command resumes the program, the tasklet of the snapshot runs in place of `entry`; the result is
/// still that of `entry` if it was part of the snapshot. If the snapshot cannot be restored the process ends
/// with a message and the exit status that the command has for it.
int start(int argc, char** argv, int (*entry)(int argc, char** argv));

STACKLESS_END
