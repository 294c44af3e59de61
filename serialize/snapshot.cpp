#include <stackless/snapshot.hpp>

#include <utility>

#include "core/access.hpp"
#include "serialize/capture.hpp"
#include "serialize/file.hpp"
#include "serialize/reader.hpp"
#include "serialize/restore.hpp"
#include "serialize/whole.hpp"
#include "serialize/writer.hpp"

STACKLESS_BEGIN
namespace snapshot {

std::pmr::vector<std::byte> bytes_of(const stackless::tasklet& t, const std::string& file) try {
  detail::record* const root = tasklet_access::record(t);
  std::pmr::vector<std::byte> bytes(scratch());
  write(capture({&root, 1}), bytes);
  return bytes;
} catch (const snapshot_error& refusal) {
  auto about = refusal.about();
  about.file = file;
  throw snapshot_error(refusal.reason(), std::move(about));
}

stackless::tasklet from_bytes(std::span<const std::byte> bytes, const std::string& file) {
  return restore(read(bytes, file), file);
}

}  // namespace snapshot

void dump(const tasklet& t, const std::string& path) {
  snapshot::write_file(path, snapshot::bytes_of(t, path));
}

std::vector<std::byte> dumps(const tasklet& t) {
  const auto bytes = snapshot::bytes_of(t, snapshot::in_memory);
  return {bytes.begin(), bytes.end()};
}

tasklet load(const std::string& path) { return snapshot::from_bytes(snapshot::read_file(path), path); }

tasklet loads(std::span<const std::byte> bytes) { return snapshot::from_bytes(bytes, snapshot::in_memory); }

STACKLESS_END
