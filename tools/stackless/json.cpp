#include <cstdint>
#include <nlohmann/json.hpp>
#include <span>
#include <string>
#include <string_view>

#include "commands.hpp"
#include "contents.hpp"
#include "serialize/encoding.hpp"
#include "symbols.hpp"

namespace cli {

namespace snapshot = stackless::snapshot;
using json = nlohmann::ordered_json;  // in the order of the text
using snapshot::hexadecimal;

namespace {

/// A place in a module, as the file says it and as the module's symbol table does.
json place(const snapshot::value& word, std::string name) {
  return {{"module", word.index}, {"offset", hexadecimal(word.number)}, {"name", std::move(name)}};
}

json modules(const snapshot::image& image) {
  json list = json::array();
  for (const snapshot::module& m : image.modules)
    list.push_back({{"build_id", hexadecimal(m.build_id)}, {"path", std::string_view(m.path)}});
  return list;
}

json tasklets(const snapshot::image& image, symbols& names) {
  json list = json::array();
  std::span<const snapshot::frame> left = image.frames;
  for (const snapshot::tasklet& t : image.tasklets) {
    json frames = json::array();
    for (const snapshot::frame& f : snapshot::take(left, t.frame_count))
      frames.push_back(place(f.pc, names.code(f.pc)));
    list.push_back({{"root", list.size() < image.roots},
                    {"state", name_of(t.state)},
                    {"sliced", t.sliced},
                    {"home", hexadecimal(t.home)},
                    {"slot", t.parked() ? json(hexadecimal(t.slot)) : json()},
                    {"slot_bytes", t.slot_size},
                    {"stack_bytes", t.stack_size},
                    {"handles", t.handles},
                    {"frames", std::move(frames)}});
  }
  return list;
}

json channels(const snapshot::image& image, symbols& names) {
  json list = json::array();
  for (const snapshot::channel& c : image.channels) {
    const bool global = c.where.means == snapshot::meaning::module;
    list.push_back(
        {{"where", global ? place(c.where, names.data(c.where)) : json(hexadecimal(c.where.number))},
         {"state", name_of(waits_for(image, c))},
         {"waiting", c.waiting}});
  }
  return list;
}

json heap(const snapshot::image& image) {
  json cells = json::array();
  for (const auto& [size, blocks] : blocks_by_size(image))
    cells.push_back({{"cell_bytes", size}, {"blocks", blocks}, {"bytes", size * blocks}});
  return {{"cells", std::move(cells)}, {"blocks", image.blocks.size()}, {"bytes", image.heap.bytes.size()}};
}

}  // namespace

std::string inspect_as_json(const std::string& file) {
  const contents all = contents_of(file);
  const snapshot::image& image = all.image;
  symbols names(image);
  const lost_words lost = left_behind(image);
  const json document = {{"file", all.file},
                         {"format", all.written_by},
                         {"min_reader", all.min_reader},
                         {"library", std::string_view(image.library)},
                         {"machine", snapshot::name_of(image.machine)},
                         {"size", all.size},
                         {"modules", modules(image)},
                         {"tasklets", tasklets(image, names)},
                         {"channels", channels(image, names)},
                         {"heap", heap(image)},
                         {"left_behind", {{"foreign", lost.foreign}, {"strangers", lost.strangers}}}};
  // Names come from files: what is no text becomes U+FFFD, and what a terminal might obey is escaped.
  return document.dump(2, ' ', true, json::error_handler_t::replace) + '\n';
}

}  // namespace cli
