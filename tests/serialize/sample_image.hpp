#pragma once

/// Images for the tests of the file format. Addresses are fixed, so they are read with `sample_region`.

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <initializer_list>
#include <utility>
#include <vector>

#include "serialize/encoding.hpp"
#include "serialize/format.hpp"
#include "serialize/image.hpp"
#include "serialize/reader.hpp"
#include "serialize/writer.hpp"

namespace sample {

namespace snapshot = stackless::snapshot;
using bytes = std::pmr::vector<std::byte>;

inline constexpr snapshot::address_range region{0x1000'8000'0000, 0x1500'0000'0000};

inline bytes written(const snapshot::image& what) {
  bytes out(snapshot::scratch());
  snapshot::write(what, out);
  return out;
}

inline snapshot::image read(const bytes& file) {
  return snapshot::read(file, "sample.snap", region);
}

inline snapshot::module& add_module(snapshot::image& image, const char* path,
                                    std::initializer_list<int> build_id, std::uint64_t size) {
  auto& m = image.modules.emplace_back();
  m.path = path;
  for (int byte : build_id) m.build_id.push_back(static_cast<std::byte>(byte));
  m.size = size;
  return m;
}

/// A frame of the tasklet that was added last.
inline void add_frame(snapshot::image& image, const snapshot::frame& f) {
  image.frames.push_back(f);
  ++image.tasklets.back().frame_count;
}

/// The word `offset` bytes into what is there so far, which is zero from then on.
inline void add_word(snapshot::payload& to, std::uint64_t offset, const snapshot::value& what) {
  to.words.push_back({offset, what});
  snapshot::store(&to.bytes[offset], std::uint64_t{0});
}

/// The image of the hexdump in FORMAT.md: one tasklet that waits on a global channel and holds one object.
inline snapshot::image small() {
  using snapshot::meaning;
  snapshot::image image;
  image.machine = snapshot::machine::x86_64;
  image.library = "0.1.0";
  image.roots = 1;
  add_module(image, "/bin/demo", {0x5a, 0x17, 0xc3, 0x88}, 0x8000);

  auto& t = image.tasklets.emplace_back();
  t.home = 0x1234'0400'0040;
  t.state = snapshot::state::receiving;
  t.handles = 1;
  t.body = {meaning::module, 0, 0x1500};
  t.closure = {meaning::data, 0, 0x1234'0500'0020};
  t.pc = {meaning::module, 0, 0x1234};
  t.fp = {meaning::data, 0, 0x1234'0404'ffb8};
  t.slot = 0x1234'0401'0000;
  t.slot_size = 0x4'0000;
  t.live = 0x1234'0404'ff90;
  t.sp = 0x1234'0404'ffa0;
  t.stack_size = 0x30;
  image.stacks.bytes.resize(t.stack_size);
  image.stacks.bytes[0x18] = std::byte{0x2a};
  add_word(image.stacks, 0x10, {meaning::canary, 0, 0});
  add_word(image.stacks, 0x20, {meaning::module, 0, 0x1f0a});
  add_frame(image, {{meaning::module, 0, 0x1234}, 0x18, snapshot::return_address::fixed});
  add_frame(image, {{meaning::module, 0, 0x1f0a}, 0x08, snapshot::return_address::none});

  auto& c = image.channels.emplace_back();
  c.where = {meaning::module, 0, 0x6010};
  c.waiting.push_back(0);

  image.spans.push_back({0x1234'0500'0000, 0x1'0000, 32});
  image.blocks.push_back({0, 0x1234'0500'0020});
  image.heap.bytes.resize(32);
  std::memcpy(image.heap.bytes.data() + 8, "hello", 5);
  add_word(image.heap, 0, {meaning::module, 0, 0x5d20});
  return image;
}

/// Every state, every meaning, every field.
inline snapshot::image full() {
  using snapshot::meaning;
  using snapshot::return_address;
  using snapshot::state;
  snapshot::image image;
  image.machine = snapshot::machine::aarch64;
  image.library = "1.22.333";
  image.roots = 2;
  add_module(image, "/srv/game server",
             {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20}, 0x12'3456);
  add_module(image, "/lib/libc.so.6", {0xff}, 0x20'0000);

  const std::uint64_t records = 0x1400'0000'0000;
  const std::uint64_t slots = 0x1300'0000'0000;
  const auto append = [](snapshot::payload& to, std::size_t size, unsigned seed) {
    for (std::size_t i = 0; i != size; ++i) to.bytes.push_back(static_cast<std::byte>(seed + 7 * i));
  };
  const auto parked = [&](std::uint64_t home, state is, std::uint64_t slot, std::size_t length) -> auto& {
    auto& t = image.tasklets.emplace_back();
    t.home = home;
    t.state = is;
    t.handles = 3;
    t.body = {meaning::module, 0, 0x4000};
    t.closure = {meaning::data, 0, 0x1200'0000'0040};
    t.pc = {meaning::module, 1, 0x1'0000};
    t.fp = {meaning::data, 0, 0xffff'ffff'ffff'ffff};
    t.base = {meaning::thread_local_, 1, 0x90};
    t.caught = {meaning::data, 0, 0x1200'0000'0080};
    t.uncaught = 2;
    t.slot = slot;
    t.slot_size = 0x4'0000;
    t.live = slot + 0x4'0000 - length;
    t.sp = t.live + 0x80;
    t.stack_size = length;
    append(image.stacks, length, static_cast<unsigned>(slot >> 18));
    add_frame(image, {{meaning::module, 1, 0x1'0000}, 0, return_address::unique});
    add_frame(image, {{meaning::module, 0, 0x12'3456}, length - 0x80 - 16, return_address::several});
    add_frame(image, {{meaning::module, 0, 0x5000}, 16, return_address::none});
    return t;
  };

  auto& sends = parked(records + 0x1000, state::sending, slots + 0x40'0000, 0x200);
  sends.has_value = true;
  sends.transfer = {{{meaning::data, 0, 42},
                     {meaning::thread_pointer, 0, std::uint64_t(-0x38)},
                     {meaning::canary, 0, 0},
                     {meaning::module, 1, 0x20'0000}}};
  parked(records + 0x40, state::receiving, slots, 0x100);
  parked(records + 0x80, state::receiving, slots + 0x4'0000, 0x180);
  auto& paused = parked(records, state::paused, slots + 0x8'0000, 0x90);
  paused.has_value = true;
  paused.transfer[0] = {meaning::data, 0, 7};
  paused.block_trap = paused.atomic = true;
  paused.extras = {meaning::data, 0, 0x1200'0000'00c0};
  paused.waking = snapshot::waking::with_failure;
  paused.failure = {meaning::data, 0, 0x1200'0000'0090};
  auto& fresh = image.tasklets.emplace_back();
  fresh.home = records + 0x2'0000;
  fresh.state = state::not_started;
  fresh.has_value = true;
  fresh.transfer[0] = {meaning::data, 0, 5};
  fresh.handles = 1;
  fresh.slot_size = 0x1'0000;
  fresh.body = {meaning::module, 0, 0x4400};
  fresh.closure = {meaning::data, 0, 0x1200'0000'0040};
  auto& dead = image.tasklets.emplace_back();
  dead.home = records + 0xc0;
  dead.state = state::dead;
  dead.handles = 0xffff'ffff;
  dead.slot_size = 0x8000'0000;
  for (const std::uint64_t n : {0, 1}) {
    auto& sliced = parked(records + 0x100 + 0x40 * n, state::paused, slots + 0x80'0000, 0x98 + 0x100 * n);
    sliced.sliced = true;
    sliced.sp = sliced.live;
    image.frames[image.frames.size() - 2].size += 0x80;
  }

  auto& global = image.channels.emplace_back();
  global.where = {meaning::module, 0, 0x10'0000};
  global.waiting = {2, 1};
  auto& carried = image.channels.emplace_back();
  carried.where = {meaning::data, 0, 0x1200'0000'0050};
  carried.waiting = {0};

  image.spans.push_back({0x1200'0000'0000, 0x1'0000, 64});
  image.spans.push_back({0x1200'0001'0000, 0x2'0000, 0x1000});
  image.spans.push_back({0x1200'0100'0000, 0x10'0000, 48});
  for (const auto& [index, cell] :
       std::vector<std::pair<std::uint32_t, std::uint64_t>>{{0, 1}, {0, 2}, {0, 1023}, {1, 31}, {2, 9}}) {
    const auto& span = image.spans[index];
    image.blocks.push_back({index, span.begin + cell * span.cell_size});
    append(image.heap, span.cell_size, index);
  }

  add_word(image.stacks, 0, {meaning::data, 0, 0xdead'beef});
  add_word(image.stacks, 0x200, {meaning::canary, 0, 0});
  add_word(image.stacks, 0x2f8, {meaning::stranger, 0, 0});
  add_word(image.heap, 0, {meaning::module, 1, 0x1f'fff8});
  add_word(image.heap, 8, {meaning::thread_local_, 0, 0x10});
  add_word(image.heap, 64 + 0x38, {meaning::thread_pointer, 0, std::uint64_t(-8)});
  add_word(image.heap, image.heap.bytes.size() - 8, {meaning::foreign, 0, 0});
  return image;
}

/// A file as a list of sections, to be damaged and put together again with the right digests.
struct parts {
  struct part {
    std::uint32_t type, flags;
    bytes payload;
  };
  std::uint32_t written_by = snapshot::format_version;
  std::uint32_t min_reader = snapshot::oldest_reader;
  std::vector<part> sections;

  explicit parts(const bytes& file) {
    namespace header = snapshot::section_header;
    for (std::size_t at = snapshot::file_header::size; at != file.size();) {
      const auto length = snapshot::load<std::uint64_t>(&file[at + header::length_at]);
      const auto payload = file.begin() + static_cast<std::ptrdiff_t>(at + header::size);
      sections.push_back(
          {snapshot::load<std::uint32_t>(&file[at + header::type_at]),
           snapshot::load<std::uint32_t>(&file[at + header::flags_at]),
           bytes(payload, payload + static_cast<std::ptrdiff_t>(length), snapshot::scratch())});
      at += (header::size + length + 7) / 8 * 8;
    }
  }

  bytes& operator[](snapshot::section type) {
    for (part& p : sections)
      if (p.type == static_cast<std::uint32_t>(type)) return p.payload;
    throw std::logic_error("no such section");
  }

  bytes assembled() const {
    bytes file(snapshot::file_header::size, std::byte{0}, snapshot::scratch());
    for (const part& p : sections) {
      namespace header = snapshot::section_header;
      const std::size_t at = file.size();
      file.resize(at + header::size);
      snapshot::store(&file[at + header::type_at], p.type);
      snapshot::store(&file[at + header::flags_at], p.flags);
      snapshot::store(&file[at + header::length_at], std::uint64_t{p.payload.size()});
      file.insert(file.end(), p.payload.begin(), p.payload.end());
      snapshot::store(&file[at], snapshot::digest_of(std::span(file).subspan(at + header::type_at)));
      file.resize((file.size() + 7) / 8 * 8);
    }
    sign(file, written_by, min_reader);
    return file;
  }

  static void sign(bytes& file, std::uint32_t written_by, std::uint32_t min_reader) {
    namespace header = snapshot::file_header;
    snapshot::store(&file[0], snapshot::magic);
    snapshot::store(&file[header::written_by_at], written_by);
    snapshot::store(&file[header::min_reader_at], min_reader);
    snapshot::store(&file[header::size_at], std::uint64_t{file.size()});
    snapshot::store(&file[header::digest_at],
                    snapshot::digest_of(std::span(file).subspan(header::written_by_at)));
  }
};

}  // namespace sample
