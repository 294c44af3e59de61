#include "contents.hpp"

#include <utility>

#include "serialize/encoding.hpp"
#include "serialize/file.hpp"
#include "serialize/format.hpp"
#include "serialize/reader.hpp"

namespace cli {

namespace snapshot = stackless::snapshot;

contents contents_of(const std::string& file) {
  const auto bytes = snapshot::read_file(file);
  // First: of a file that is too short for a header there is nothing to load.
  auto image = snapshot::read(bytes, file);
  const auto number = [&](std::size_t at) { return snapshot::load<std::uint32_t>(bytes.data() + at); };
  return {file, bytes.size(), number(snapshot::file_header::written_by_at),
          number(snapshot::file_header::min_reader_at), std::move(image)};
}

const char* name_of(snapshot::state s) {
  switch (s) {
    case snapshot::state::not_started:
      return "not started";
    case snapshot::state::paused:
      return "paused";
    case snapshot::state::sending:
      return "sending";
    case snapshot::state::receiving:
      return "receiving";
    case snapshot::state::dead:
      return "dead";
  }
  return "";
}

snapshot::state waits_for(const snapshot::image& image, const snapshot::channel& c) {
  return image.tasklets[c.waiting.front()].state;
}

std::map<std::uint64_t, std::size_t> blocks_by_size(const snapshot::image& image) {
  std::map<std::uint64_t, std::size_t> sizes;
  for (const snapshot::block& b : image.blocks) ++sizes[image.spans[b.span].cell_size];
  return sizes;
}

lost_words left_behind(const snapshot::image& image) {
  lost_words lost;
  const auto count = [&](const snapshot::value& v) {
    lost.foreign += v.means == snapshot::meaning::foreign;
    lost.strangers += v.means == snapshot::meaning::stranger;
  };
  for (const snapshot::payload* p : {&image.stacks, &image.heap}) {
    for (const snapshot::word& w : p->words) count(w.what);
  }
  for (const snapshot::tasklet& t : image.tasklets) {
    for (const snapshot::value* v : {&t.body, &t.closure, &t.extras, &t.fp, &t.base, &t.caught, &t.failure})
      count(*v);
    for (const snapshot::value& v : t.transfer) count(v);
  }
  return lost;
}

}  // namespace cli
