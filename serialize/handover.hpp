#pragma once

/// How the command hands a snapshot to the program that it resumes. The two may be of different versions.

#include <cstdint>

#include <stackless/config.hpp>

STACKLESS_BEGIN
namespace snapshot::handover {

/// Environment variable of a program that is to resume: `<fd>:<file>`, a descriptor that begins with the
/// bytes of a snapshot, and the path that messages name.
inline constexpr char variable[] = "STACKLESS_RESUME";

/// A program that calls start() carries an ELF note by which the command knows that it will look at the
/// variable. Its description is the version of this protocol, four bytes.
inline constexpr char note_owner[] = "stackless";
inline constexpr std::uint32_t note_type = 1;
inline constexpr std::uint32_t version = 1;

}  // namespace snapshot::handover
STACKLESS_END
