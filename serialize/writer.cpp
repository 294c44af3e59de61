#include "serialize/writer.hpp"

#include <algorithm>
#include <stdexcept>

#include "serialize/encoding.hpp"
#include "serialize/format.hpp"

STACKLESS_BEGIN
namespace snapshot {

namespace {

void require(bool holds, const char* rule) {
  if (!holds) throw std::logic_error(std::string("stackless: an image that no file can hold: ") + rule);
}

class writer {
 public:
  writer(const image& what, std::pmr::vector<std::byte>& bytes) : what_(what), bytes_(bytes), out_(bytes) {}

  void run() {
    bytes_.clear();
    bytes_.reserve(expected_size());
    bytes_.resize(file_header::size);
    write_section(section::machine, [this] { machine(); });
    write_section(section::modules, [this] { modules(); });
    write_section(section::tasklets, [this] { tasklets(); });
    write_section(section::frames, [this] { frames(); });
    write_section(section::channels, [this] { channels(); });
    write_section(section::stacks, [this] { out_.raw(what_.stacks.bytes); });
    write_section(section::spans, [this] { spans(); });
    write_section(section::heap, [this] { out_.raw(what_.heap.bytes); });
    write_section(section::words, [this] {
      words(what_.stacks);
      words(what_.heap);
    });
    write_section(section::end, [] {});
    header();
  }

 private:
  std::size_t expected_size() const {
    return 1024 + what_.modules.size() * 128 + what_.tasklets.size() * 96 + what_.frames.size() * 8 +
           what_.channels.size() * 16 + what_.spans.size() * 16 + what_.blocks.size() * 2 +
           (what_.stacks.words.size() + what_.heap.words.size()) * 10 + what_.stacks.bytes.size() +
           what_.heap.bytes.size();
  }

  template <class Payload>
  void write_section(section type, Payload payload) {
    const std::size_t begin = bytes_.size();
    bytes_.resize(begin + section_header::size);
    payload();
    const std::uint64_t length = bytes_.size() - begin - section_header::size;
    std::byte* at = bytes_.data() + begin;
    store(at + section_header::type_at, static_cast<std::uint32_t>(type));
    store(at + section_header::flags_at, critical);
    store(at + section_header::length_at, length);
    store(at + section_header::digest_at,
          digest_of(std::span(bytes_).subspan(begin + section_header::type_at)));
    bytes_.resize((bytes_.size() + section_alignment - 1) / section_alignment * section_alignment);
  }

  void header() {
    std::byte* at = bytes_.data();
    store(at, magic);
    store(at + file_header::written_by_at, format_version);
    store(at + file_header::min_reader_at, oldest_reader);
    store(at + file_header::size_at, std::uint64_t{bytes_.size()});
    store(at + file_header::digest_at, digest_of(std::span(bytes_).subspan(file_header::written_by_at)));
  }

  void put(const value& v) {
    out_.u8(static_cast<std::uint8_t>(v.means));
    if (v.means == meaning::module || v.means == meaning::thread_local_) out_.varint(v.index);
    if (v.means == meaning::thread_pointer)
      out_.zigzag(v.number);
    else if (v.means <= meaning::thread_local_)
      out_.varint(v.number);
  }

  void machine() {
    out_.u8(static_cast<std::uint8_t>(what_.machine));
    out_.string(std::as_bytes(std::span(what_.library)));
  }

  void modules() {
    out_.varint(what_.modules.size());
    for (const module& m : what_.modules) {
      out_.string(std::as_bytes(std::span(m.path)));
      out_.string(m.build_id);
      out_.varint(m.size);
    }
  }

  void tasklets() {
    out_.varint(what_.tasklets.size());
    out_.varint(what_.roots);
    std::uint64_t home = 0, slot = 0, stacks = 0;
    for (const tasklet& t : what_.tasklets) {
      require(t.home % record_alignment == 0, "a record is not aligned to 64");
      out_.zigzag(t.home / record_alignment - home);
      home = t.home / record_alignment;
      out_.u8(static_cast<std::uint8_t>(t.state));
      out_.varint(t.handles);
      out_.u8(static_cast<std::uint8_t>(t.block_trap * flag_block_trap | t.atomic * flag_atomic |
                                        t.sends_failure * flag_sends_failure | t.sliced * flag_sliced));
      out_.varint(t.slot_size);
      put(t.body);
      put(t.closure);
      put(t.extras);
      out_.u8(t.has_value);
      if (t.has_value)
        for (const value& v : t.transfer) put(v);
      require(t.parked() == (t.slot != 0), "a tasklet has a stack exactly when it is parked");
      if (!t.parked()) continue;
      put(t.pc);
      put(t.fp);
      put(t.base);
      put(t.caught);
      out_.varint(t.uncaught);
      out_.u8(static_cast<std::uint8_t>(t.waking));
      if (t.waking == waking::with_failure || t.sends_failure) put(t.failure);
      out_.zigzag(t.slot - slot);
      slot = t.slot;
      out_.varint(t.live - t.slot);
      out_.varint(t.stack_size);
      out_.varint(t.sp - t.live);
      stacks += t.stack_size;
    }
    require(stacks == what_.stacks.bytes.size(), "the stacks are not as long as the tasklets say");
  }

  void frames() {
    std::span<const frame> left = what_.frames;
    for (const tasklet& t : what_.tasklets) {
      if (!t.parked()) continue;
      out_.varint(t.frame_count);
      require(t.frame_count <= left.size(), "there are fewer frames than the tasklets say");
      for (const frame& f : take(left, t.frame_count)) {
        require(f.pc.means == meaning::module, "a frame goes on outside of every module");
        out_.varint(f.pc.index);
        out_.varint(f.pc.number);
        out_.varint(f.size);
        out_.u8(static_cast<std::uint8_t>(f.found));
      }
    }
    require(left.empty(), "there are more frames than the tasklets say");
  }

  void channels() {
    out_.varint(what_.channels.size());
    for (const channel& c : what_.channels) {
      put(c.where);
      out_.varint(c.waiting.size());
      for (std::uint32_t index : c.waiting) out_.varint(index);
    }
  }

  /// Each span with the cells of its blocks.
  void spans() {
    out_.varint(what_.spans.size());
    std::uint64_t end = 0, heap = 0;
    auto block = what_.blocks.begin();
    for (std::uint32_t i = 0; i != what_.spans.size(); ++i) {
      const span& s = what_.spans[i];
      require(s.begin >= end && s.size <= ~s.begin && s.cell_size != 0, "spans overlap or are out of order");
      out_.varint(s.begin - end);
      out_.varint(s.size);
      out_.varint(s.cell_size);
      end = s.begin + s.size;

      const auto last =
          std::find_if(block, what_.blocks.end(), [i](const snapshot::block& b) { return b.span != i; });
      out_.varint(static_cast<std::uint64_t>(last - block));
      for (std::uint64_t next = 0; block != last; ++block) {
        const std::uint64_t cell = (block->begin - s.begin) / s.cell_size;
        require(block->begin == s.begin + cell * s.cell_size && cell >= next,
                "a block is not a cell of its span, or blocks are out of order");
        out_.varint(cell - next);
        next = cell + 1;
        heap += s.cell_size;
      }
    }
    require(block == what_.blocks.end(), "a block is in no span, or blocks are out of order");
    require(heap == what_.heap.bytes.size(), "the heap is not as long as its blocks");
  }

  void words(const payload& of) {
    out_.varint(of.words.size());
    std::uint64_t next = 0;
    for (const word& w : of.words) {
      require(w.offset % 8 == 0 && w.offset / 8 >= next, "words are misaligned or out of order");
      out_.varint(w.offset / 8 - next);
      next = w.offset / 8 + 1;
      put(w.what);
    }
  }

  const image& what_;
  std::pmr::vector<std::byte>& bytes_;
  output out_;
};

}  // namespace

void write(const image& what, std::pmr::vector<std::byte>& out) {
  writer(what, out).run();
}

}  // namespace snapshot
STACKLESS_END
