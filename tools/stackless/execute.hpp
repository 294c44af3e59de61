#pragma once

/// Becoming another program.

#include <stdexcept>
#include <string>
#include <vector>

namespace cli {

/// The program could not be started.
class cannot_start : public std::runtime_error {
 public:
  cannot_start(const std::string& program, int error);
};

/// True if programs are run by an emulator, because they are for another CPU.
bool emulated();

/// argv[0] is looked for as a shell would. Throws cannot_start.
[[noreturn]] void execute(std::vector<std::string> argv);

/// The same for the program behind a descriptor, whatever argv[0] leads to by now. An emulator opens argv[0].
[[noreturn]] void execute(int program, const std::vector<std::string>& argv);

}  // namespace cli
