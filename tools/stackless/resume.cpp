#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <span>
#include <system_error>

#include <stackless/snapshot_error.hpp>

#include "commands.hpp"
#include "elf.hpp"
#include "execute.hpp"
#include "serialize/encoding.hpp"
#include "serialize/file.hpp"
#include "serialize/handover.hpp"
#include "serialize/reader.hpp"
#include "text.hpp"

namespace cli {

namespace snapshot = stackless::snapshot;
using stackless::snapshot_error;

namespace {

[[noreturn]] void refuse(snapshot_error::kind why, const std::string& file, std::string reason) {
  snapshot_error::details about;
  about.file = file;
  about.reason = std::move(reason);
  throw snapshot_error(why, std::move(about));
}

void check_cpu(const snapshot::image& image, const std::string& file) {
  if (image.machine != snapshot::this_machine && !emulated())
    refuse(snapshot_error::kind::wrong_machine, file,
           text("saved on %s, and this is %s; `stackless help resume` tells of emulators",
                name_of(image.machine), name_of(snapshot::this_machine)));
}

/// The path may be anybody's: nothing is executed unless it is the program that wrote the snapshot.
void check_program(const elf_file& program, const std::string& path, const snapshot::image& image,
                   const std::string& file) {
  if (program.machine() != image.machine)
    refuse(snapshot_error::kind::wrong_machine, file,
           path + " is not a program for " + name_of(image.machine));
  const auto& expected = image.modules[0].build_id;
  const auto found = program.build_id();
  if (!std::equal(expected.begin(), expected.end(), found.begin(), found.end())) {
    snapshot_error::details about;
    about.file = file;
    about.reason = path + " is another build of the program";
    about.expected = "build-id " + snapshot::hexadecimal(expected);
    about.found = snapshot::hexadecimal(found);
    throw snapshot_error(snapshot_error::kind::wrong_program, std::move(about));
  }
  if (!program.calls_start())
    refuse(snapshot_error::kind::wrong_program, file,
           path + " does not call stackless::start, so only itself can load its snapshots");
}

/// The bytes that were checked, behind a descriptor by which nobody can change them any more.
int sealed(std::span<const std::byte> bytes) {
  const auto check = [](auto result) {
    if (result == -1)
      throw std::system_error(errno, std::generic_category(), "cannot hand over the snapshot");
    return result;
  };
  const int fd = check(::memfd_create("snapshot", MFD_ALLOW_SEALING));
  while (!bytes.empty())
    bytes = bytes.subspan(static_cast<std::size_t>(check(::write(fd, bytes.data(), bytes.size()))));
  check(::lseek(fd, 0, SEEK_SET));
  check(::fcntl(fd, F_ADD_SEALS, F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE));
  return fd;
}

}  // namespace

void resume(const std::string& file, const std::string& given) {
  const auto bytes = snapshot::read_file(file);
  const auto image = snapshot::read(bytes, file);
  check_cpu(image, file);

  const std::string path = given.empty() ? std::string(image.modules[0].path) : given;
  // The file has the path of a running program, which begins with a slash; another one would depend on the
  // folder.
  if (given.empty() && path[0] != '/')
    refuse(snapshot_error::kind::wrong_program, file, "it does not say where its program is; use --program");
  try {
    const elf_file program(path);
    check_program(program, path, image, file);
    const std::string handed = std::to_string(sealed(bytes)) + ':' + file;
    ::setenv(snapshot::handover::variable, handed.c_str(), 1);
    execute(program.descriptor(), {path});
  } catch (const unusable_file& e) {
    refuse(snapshot_error::kind::wrong_program, file, e.what());
  }
}

}  // namespace cli
