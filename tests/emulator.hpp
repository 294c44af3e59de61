#pragma once

// Tests run on this machine's CPU, or under a user-mode emulator: STACKLESS_EMULATED is 0 or 1, STACKLESS_EMULATOR the
// command that such programs are started with. What an emulator does not imitate is left out there, with the reason.

#include <string>
#include <vector>

/// What to execute for `program` with `arguments`, ready for execvp.
inline std::vector<std::string> command_line(std::string program, std::vector<std::string> arguments) {
  std::vector<std::string> line;
  if (STACKLESS_EMULATED) line.emplace_back(STACKLESS_EMULATOR);
  line.push_back(std::move(program));
  line.insert(line.end(), arguments.begin(), arguments.end());
  return line;
}
