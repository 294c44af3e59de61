#include <stackless/snapshot.hpp>

#include <utility>

#include "core/access.hpp"
#include "serialize/capture.hpp"
#include "serialize/file.hpp"
#include "serialize/reader.hpp"
#include "serialize/restore.hpp"
#include "serialize/writer.hpp"

STACKLESS_BEGIN
namespace {

constexpr char in_memory[] = "<memory>";

std::pmr::vector<std::byte> bytes_of(const tasklet& t, const std::string& file) try {
  detail::record* const root = tasklet_access::record(t);
  std::pmr::vector<std::byte> bytes(snapshot::scratch());
  snapshot::write(snapshot::capture({&root, 1}), bytes);
  return bytes;
} catch (const snapshot_error& refusal) {
  auto about = refusal.about();
  about.file = file;
  throw snapshot_error(refusal.reason(), std::move(about));
}

tasklet from_bytes(std::span<const std::byte> bytes, const std::string& file) {
  return snapshot::restore(snapshot::read(bytes, file), file);
}

}  // namespace

void dump(const tasklet& t, const std::string& path) { snapshot::write_file(path, bytes_of(t, path)); }

std::vector<std::byte> dumps(const tasklet& t) {
  const auto bytes = bytes_of(t, in_memory);
  return {bytes.begin(), bytes.end()};
}

tasklet load(const std::string& path) { return from_bytes(snapshot::read_file(path), path); }

tasklet loads(std::span<const std::byte> bytes) { return from_bytes(bytes, in_memory); }

STACKLESS_END
