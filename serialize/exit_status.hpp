#pragma once

#include <stackless/snapshot_error.hpp>

STACKLESS_BEGIN
namespace snapshot {

/// What the command, and a program that it resumes, end with. Scripts rely on the numbers: never change one.
constexpr int exit_status(snapshot_error::kind why) {
  switch (why) {
    case snapshot_error::kind::io:
    case snapshot_error::kind::home_taken:
    case snapshot_error::kind::not_restorable:
    case snapshot_error::kind::sealed:
    case snapshot_error::kind::not_sealed:
    case snapshot_error::kind::wrong_key:
      return 1;
    case snapshot_error::kind::damaged:
      return 3;
    case snapshot_error::kind::wrong_program:
    case snapshot_error::kind::wrong_machine:
      return 4;
    case snapshot_error::kind::too_new:
      return 5;
  }
  return 1;
}

}  // namespace snapshot
STACKLESS_END
