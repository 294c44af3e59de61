// `sample_files write` writes the sample images of the format's tests to small.snap and full.snap.
// `sample_files judge` reads files from its standard input, each behind its length in 8 bytes, and prints for
// each what the library's reader makes of it: thousands of files need one process.

#include <cstdint>
#include <cstdio>
#include <string_view>

#include "serialize/file.hpp"
#include "tests/serialize/sample_image.hpp"

namespace {

const char* verdict(const sample::bytes& file) {
  try {
    sample::read(file);
    return "accepted";
  } catch (const stackless::snapshot_error& error) {
    return error.reason() == stackless::snapshot_error::kind::too_new ? "too new" : "damaged";
  }
}

bool read_next(sample::bytes& file) {
  std::uint64_t length;
  if (std::fread(&length, sizeof length, 1, stdin) != 1) return false;
  file.resize(length);
  return std::fread(file.data(), 1, length, stdin) == length;
}

}  // namespace

int main(int argc, char** argv) {
  namespace snapshot = stackless::snapshot;
  const std::string_view task = argc == 2 ? argv[1] : "";
  if (task == "write") {
    snapshot::write_file("small.snap", sample::written(sample::small()));
    snapshot::write_file("full.snap", sample::written(sample::full()));
    return 0;
  }
  if (task == "judge") {
    for (sample::bytes file(snapshot::scratch()); read_next(file);) std::puts(verdict(file));
    return 0;
  }
  std::fputs("usage: sample_files write|judge\n", stderr);
  return 2;
}
