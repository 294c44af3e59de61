#pragma once

/// What the library throws when it is used wrongly. A call that throws one of these has changed nothing.

#include <stdexcept>

#include <stackless/config.hpp>

STACKLESS_BEGIN

/// The base of them all. The text says what was wrong and what to do instead.
class error : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/// The operation would block the last tasklet that can run, or one blocked that nobody is left to wake.
class deadlock_error : public error {
 public:
  using error::error;
};

/// The operation does not go with the state the tasklet is in: dead, blocked, current.
class state_error : public error {
 public:
  using error::error;
};

/// The operation would block on a channel that is closed.
class closed_error : public error {
 public:
  using error::error;
};

/// The operation would switch or block where the program has forbidden it: switch_trap, block_trap, a callback.
class trap_error : public error {
 public:
  using error::error;
};

/// Unwinds a tasklet that is killed. It ends the tasklet silently and is no std::exception, so that handlers of
/// ordinary errors leave it alone.
struct TaskletExit {};

STACKLESS_END
