#pragma once

/// What tasklets are made of that are to be unwound.

#include <stackless/error.hpp>
#include <stackless/scheduler.hpp>

/// Sets a flag when it goes out of scope.
struct leaving {
  bool& flag;
  ~leaving() { flag = true; }
};

/// Pauses, and keeps how it was ended.
struct pausing {
  bool left = false;
  bool by_TaskletExit = false;

  void pause() {
    const leaving l{left};
    try {
      stackless::schedule_remove();
    } catch (const stackless::TaskletExit&) {
      by_TaskletExit = true;
      throw;
    }
  }
};
