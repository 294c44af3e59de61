#include "execute.hpp"

#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <sstream>
#include <system_error>
#include <utility>

namespace cli {

namespace {

const char* emulator() {
  const char* const name = std::getenv("STACKLESS_EMULATOR");
  return name != nullptr && *name != '\0' ? name : nullptr;
}

std::vector<char*> terminated(const std::vector<std::string>& argv) {
  std::vector<char*> pointers;
  for (const std::string& argument : argv) pointers.push_back(const_cast<char*>(argument.c_str()));
  pointers.push_back(nullptr);
  return pointers;
}

/// An emulator does not look in PATH.
std::string found(const std::string& program) {
  if (program.find('/') != program.npos) {
    if (::access(program.c_str(), X_OK) == -1) throw cannot_start(program, errno);
    return program;
  }
  const char* const path = std::getenv("PATH");
  std::istringstream folders(path != nullptr ? path : "");
  for (std::string folder; std::getline(folders, folder, ':');) {
    std::string candidate = (folder.empty() ? "." : folder) + '/' + program;
    if (::access(candidate.c_str(), X_OK) == 0) return candidate;
  }
  throw cannot_start(program, ENOENT);
}

[[noreturn]] void emulate(std::vector<std::string> argv) {
  argv.insert(argv.begin(), emulator());
  ::execvp(argv[0].c_str(), terminated(argv).data());
  throw cannot_start(argv[0], errno);
}

}  // namespace

cannot_start::cannot_start(const std::string& program, int error)
    : runtime_error(program + ": cannot start: " + std::generic_category().message(error)) {}

bool emulated() {
  return emulator() != nullptr;
}

void execute(std::vector<std::string> argv) {
  if (emulated()) {
    argv[0] = found(argv[0]);
    emulate(std::move(argv));
  }
  ::execvp(argv[0].c_str(), terminated(argv).data());
  throw cannot_start(argv[0], errno);
}

void execute(int program, const std::vector<std::string>& argv) {
  if (emulated()) emulate(argv);
  ::fexecve(program, terminated(argv).data(), environ);
  throw cannot_start(argv[0], errno);
}

}  // namespace cli
