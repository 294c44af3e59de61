#include "serialize/reader.hpp"

#include <algorithm>
#include <memory_resource>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "serialize/container.hpp"
#include "serialize/encoding.hpp"
#include "serialize/format.hpp"

STACKLESS_BEGIN
namespace snapshot {

namespace {

// The least that one of each takes in the file.
constexpr std::size_t least_module = 4;
constexpr std::size_t least_tasklet = 9;
constexpr std::size_t least_frame = 4;
constexpr std::size_t least_channel = 4;
constexpr std::size_t least_span = 4;
constexpr std::size_t least_word = 2;

struct place {
  std::uint64_t begin, end;
  bool shared = false;

  bool operator==(const place&) const = default;
};

bool before(const place& a, const place& b) {
  return a.begin < b.begin;
}

void append(std::pmr::vector<std::byte>& to, std::span<const std::byte> bytes) {
  to.insert(to.end(), bytes.begin(), bytes.end());
}

class reader {
 public:
  reader(std::span<const std::byte> bytes, std::string_view file, const address_range& region)
      : sections_(bytes, file), region_(region) {}

  image run() {
    machine();
    modules();
    tasklets();
    frames();
    spans();
    check_places();
    channels();
    words();
    return std::move(image_);
  }

 private:
  void machine();
  void modules();
  void tasklets();
  void parked_part(tasklet& t, input& in, input& stacks, std::uint64_t& slot);
  void frames();
  void channels();
  void spans();
  void words();
  void words_of(payload& of, const char* name);

  /// Slots, spans and records share no address, but for slots that are shared whole.
  void check_places();

  /// Stacks and blocks that nothing else takes turns with, by address.
  std::pmr::vector<place> memory() const;

  value read_value(input& in) const;

  bool in_region(std::uint64_t begin, std::uint64_t size) const {
    return begin >= region_.begin && begin <= region_.end && size <= region_.end - begin;
  }

  container sections_;
  address_range region_;
  image image_;
};

std::string numbered(const char* what, std::size_t index, const char* reason) {
  return std::string(what) + ' ' + std::to_string(index) + ": " + reason;
}

value reader::read_value(input& in) const {
  value v;
  v.means = in.enumerator(meaning::data, meaning::stranger);
  if (v.means == meaning::module || v.means == meaning::thread_local_) {
    v.index = in.varint32();
    if (v.index >= image_.modules.size()) in.fail("module " + std::to_string(v.index) + " does not exist");
  }
  if (v.means == meaning::thread_pointer)
    v.number = in.zigzag();
  else if (v.means <= meaning::thread_local_)
    v.number = in.varint();
  if (v.means == meaning::module && v.number > image_.modules[v.index].size)
    in.fail(numbered("module", v.index, "a word leads past its end"));
  return v;
}

void reader::machine() {
  input& in = sections_.of(section::machine);
  image_.machine = in.enumerator(machine::x86_64, machine::aarch64);
  const auto library = in.string();
  image_.library.assign(reinterpret_cast<const char*>(library.data()), library.size());
  in.finish();
}

void reader::modules() {
  input& in = sections_.of(section::modules);
  const std::size_t count = in.count(least_module);
  if (count == 0) in.fail("no module");
  image_.modules.reserve(count);
  for (std::size_t i = 0; i != count; ++i) {
    module& m = image_.modules.emplace_back();
    const auto path = in.string();
    m.path.assign(reinterpret_cast<const char*>(path.data()), path.size());
    const auto build_id = in.string();
    m.build_id.assign(build_id.begin(), build_id.end());
    m.size = in.varint();
    if (m.path.find('\0') != m.path.npos) in.fail(numbered("module", i, "its path is not a path"));
    if (m.build_id.empty()) in.fail(numbered("module", i, "no build-id"));
    if (m.size == 0) in.fail(numbered("module", i, "it is empty"));
  }
  in.finish();
}

void reader::tasklets() {
  input& in = sections_.of(section::tasklets);
  input& stacks = sections_.of(section::stacks);
  const std::size_t count = in.count(least_tasklet);
  image_.roots = in.varint32();
  if (image_.roots == 0 || image_.roots > count)
    in.fail("roots are not between 1 and the number of tasklets");
  image_.tasklets.reserve(count);
  image_.stacks.bytes.reserve(stacks.left());
  std::uint64_t home = 0, slot = 0;
  for (std::size_t i = 0; i != count; ++i) {
    tasklet& t = image_.tasklets.emplace_back();
    home += in.zigzag();
    t.home = home * record_alignment;
    if (t.home / record_alignment != home || !in_region(t.home, record_alignment))
      in.fail(numbered("tasklet", i, "its record is outside of the region"));
    t.state = in.enumerator(state::not_started, state::dead);
    t.handles = in.varint32();
    const auto flags = in.enumerator<std::uint8_t>(0, flag_block_trap | flag_atomic | flag_sends_failure | flag_sliced);
    t.block_trap = (flags & flag_block_trap) != 0;
    t.atomic = (flags & flag_atomic) != 0;
    t.sends_failure = (flags & flag_sends_failure) != 0;
    t.sliced = (flags & flag_sliced) != 0;
    if (t.sends_failure && t.state != state::sending) in.fail(numbered("tasklet", i, "it does not send"));
    t.slot_size = in.varint();
    if (t.slot_size % granule != 0) in.fail(numbered("tasklet", i, "the size of its slot is not that of a slot"));
    t.body = read_value(in);
    t.closure = read_value(in);
    t.extras = read_value(in);
    t.has_value = in.enumerator(std::uint8_t{0}, std::uint8_t{1}) != 0;
    if (t.has_value)
      for (value& v : t.transfer) v = read_value(in);
    if (t.state == state::sending ? t.has_value == t.sends_failure : t.has_value && t.state != state::paused && t.state != state::not_started)
      in.fail(numbered("tasklet", i,
                       t.has_value ? "it holds a value in a state that has none" : "it sends no value"));
    if (t.parked()) parked_part(t, in, stacks, slot);
  }
  in.finish();
  stacks.finish();
}

void reader::parked_part(tasklet& t, input& in, input& stacks, std::uint64_t& slot) {
  const auto fail = [&](const char* reason) {
    in.fail(numbered("tasklet", image_.tasklets.size() - 1, reason));
  };
  t.pc = read_value(in);
  t.fp = read_value(in);
  t.base = read_value(in);
  t.caught = read_value(in);
  t.uncaught = in.varint32();
  t.waking = in.enumerator(waking::normally, waking::to_exit);
  if (t.waking == waking::with_failure || t.sends_failure) t.failure = read_value(in);
  if (t.waking != waking::normally && t.state != state::paused) fail("it is blocked, but about to throw");
  if (t.pc.means != meaning::module) fail("it goes on outside of every module");

  t.slot = slot += in.zigzag();
  const std::uint64_t live = in.varint();
  const std::uint64_t length = t.stack_size = in.varint();
  const std::uint64_t sp = in.varint();
  if (t.slot % granule != 0) fail("its slot is not aligned");
  if (!in_region(t.slot, t.slot_size)) fail("its slot is outside of the region");
  if (length == 0 || live > t.slot_size || length > t.slot_size - live)
    fail("its stack is not inside its slot");
  if (sp >= length) fail("its stack pointer is not inside its stack");
  if (t.sliced && sp != 0) fail("it shares its slot, but keeps what is below its stack pointer");
  if (live % 8 != 0 || length % 8 != 0 || sp % 8 != 0) fail("its stack is not aligned");
  if (length > stacks.left()) fail("its stack is longer than what is left of section STACKS");
  append(image_.stacks.bytes, stacks.raw(length));
  t.live = t.slot + live;
  t.sp = t.live + sp;
}

void reader::frames() {
  input& in = sections_.of(section::frames);
  image_.frames.reserve(in.left() / least_frame);
  for (std::size_t i = 0; i != image_.tasklets.size(); ++i) {
    tasklet& t = image_.tasklets[i];
    if (!t.parked()) continue;
    const std::size_t count = in.count(least_frame);
    if (count == 0) in.fail(numbered("tasklet", i, "no frame"));
    t.frame_count = count;
    std::uint64_t left = t.live + t.stack_size - t.sp;
    for (std::size_t j = 0; j != count; ++j) {
      frame& f = image_.frames.emplace_back();
      f.pc = {meaning::module, in.varint32(), in.varint()};
      f.size = in.varint();
      f.found = in.enumerator(return_address::none, return_address::several);
      if (f.pc.index >= image_.modules.size() || f.pc.number > image_.modules[f.pc.index].size)
        in.fail(numbered("tasklet", i, "a frame goes on outside of every module"));
      if (f.size % 8 != 0 || f.size > left) in.fail(numbered("tasklet", i, "a frame does not fit its stack"));
      if (j == 0 && f.pc != t.pc) in.fail(numbered("tasklet", i, "its first frame is not where it goes on"));
      left -= f.size;
      if ((f.found == return_address::none) != (j + 1 == count))
        in.fail(numbered("tasklet", i, "the trampoline is not exactly its last frame"));
    }
    if (left != 0) in.fail(numbered("tasklet", i, "its frames do not fill its stack"));
  }
  in.finish();
}

void reader::spans() {
  input& in = sections_.of(section::spans);
  input& heap = sections_.of(section::heap);
  const std::size_t count = in.count(least_span);
  image_.spans.reserve(count);
  image_.heap.bytes.reserve(heap.left());
  std::uint64_t end = 0;
  for (std::size_t i = 0; i != count; ++i) {
    span& s = image_.spans.emplace_back();
    const std::uint64_t gap = in.varint();
    s.begin = end + gap;
    s.size = in.varint();
    s.cell_size = in.varint();
    if (s.begin < gap || s.size == 0 || !in_region(s.begin, s.size))
      in.fail(numbered("span", i, "outside of the region"));
    if (s.begin % granule != 0 || s.size % granule != 0) in.fail(numbered("span", i, "not aligned"));
    if (s.cell_size == 0 || s.cell_size % cell_alignment != 0 || s.cell_size > s.size)
      in.fail(numbered("span", i, "no cells of such a size"));
    end = s.begin + s.size;

    const std::size_t blocks = in.count(1);
    if (blocks > heap.left() / s.cell_size)
      in.fail(numbered("span", i, "its blocks are longer than what is left of section HEAP"));
    std::uint64_t next = 0;
    for (std::size_t j = 0; j != blocks; ++j) {
      const std::uint64_t skipped = in.varint();
      if (next >= s.size / s.cell_size || skipped >= s.size / s.cell_size - next)
        in.fail(numbered("span", i, "a block is outside of it"));
      next += skipped;
      block& b = image_.blocks.emplace_back();
      b.span = static_cast<std::uint32_t>(i);
      b.begin = s.begin + next++ * s.cell_size;
    }
    append(image_.heap.bytes, heap.raw(blocks * s.cell_size));
  }
  in.finish();
  heap.finish();
}

void reader::check_places() {
  std::pmr::vector<place> places(scratch());
  places.reserve(2 * image_.tasklets.size() + image_.spans.size());
  for (const tasklet& t : image_.tasklets) {
    places.push_back({t.home, t.home + record_alignment});
    if (t.slot != 0) places.push_back({t.slot, t.slot + t.slot_size, t.sliced});
  }
  for (const span& s : image_.spans) places.push_back({s.begin, s.begin + s.size});
  std::sort(places.begin(), places.end(), before);
  const auto clash = std::adjacent_find(places.begin(), places.end(), [](const place& a, const place& b) {
    return a.end > b.begin && !(a.shared && a == b);
  });
  if (clash != places.end())
    sections_.of(section::tasklets)
        .fail("two of slots, spans and records overlap at " + hexadecimal(clash[1].begin));
}

std::pmr::vector<place> reader::memory() const {
  std::pmr::vector<place> all(scratch());
  all.reserve(image_.tasklets.size() + image_.blocks.size());
  for (const tasklet& t : image_.tasklets)
    if (t.stack_size != 0 && !t.sliced) all.push_back({t.live, t.live + t.stack_size});
  for (const block& b : image_.blocks) all.push_back({b.begin, b.begin + image_.spans[b.span].cell_size});
  std::sort(all.begin(), all.end(), before);
  return all;
}

void reader::channels() {
  input& in = sections_.of(section::channels);
  const std::size_t count = in.count(least_channel);
  image_.channels.reserve(count);
  const auto carried = count != 0 ? memory() : std::pmr::vector<place>(scratch());
  const auto is_carried = [&](std::uint64_t address) {
    const auto after = std::upper_bound(carried.begin(), carried.end(), place{address, 0}, before);
    return after != carried.begin() && address < after[-1].end;
  };
  std::pmr::vector<bool> queued(image_.tasklets.size(), false, scratch());
  for (std::size_t i = 0; i != count; ++i) {
    channel& c = image_.channels.emplace_back();
    c.where = read_value(in);
    if (c.where.means == meaning::data ? c.where.number % 8 != 0 || !is_carried(c.where.number)
                                       : c.where.means != meaning::module)
      in.fail(numbered("channel", i, "neither a global nor in the snapshot"));
    const std::size_t waiting = in.count(1);
    if (waiting == 0) in.fail(numbered("channel", i, "nobody waits on it"));
    c.waiting.reserve(waiting);
    for (std::size_t j = 0; j != waiting; ++j) {
      const std::uint32_t index = c.waiting.emplace_back(in.varint32());
      if (index >= image_.tasklets.size()) in.fail(numbered("channel", i, "who waits on it does not exist"));
      const state waits = image_.tasklets[index].state;
      if (waits != state::sending && waits != state::receiving)
        in.fail(numbered("tasklet", index, "in a channel's queue, but not blocked"));
      if (waits != image_.tasklets[c.waiting.front()].state)
        in.fail(numbered("channel", i, "senders and receivers wait on it at once"));
      if (queued[index]) in.fail(numbered("tasklet", index, "twice in queues"));
      queued[index] = true;
    }
  }
  in.finish();
  for (std::size_t i = 0; i != image_.tasklets.size(); ++i)
    if (!queued[i] &&
        (image_.tasklets[i].state == state::sending || image_.tasklets[i].state == state::receiving))
      in.fail(numbered("tasklet", i, "blocked, but in no channel's queue"));

  const auto before_in_memory = [](const value* a, const value* b) {
    return std::tie(a->means, a->index, a->number) < std::tie(b->means, b->index, b->number);
  };
  std::pmr::vector<const value*> wheres(scratch());
  for (const channel& c : image_.channels) wheres.push_back(&c.where);
  std::sort(wheres.begin(), wheres.end(), before_in_memory);
  if (std::adjacent_find(wheres.begin(), wheres.end(), [](auto a, auto b) { return *a == *b; }) !=
      wheres.end())
    in.fail("a channel is there twice");
}

void reader::words() {
  words_of(image_.stacks, "a stack's word");
  words_of(image_.heap, "a block's word");
  sections_.of(section::words).finish();
}

void reader::words_of(payload& of, const char* name) {
  input& in = sections_.of(section::words);
  const std::size_t count = in.count(least_word);
  of.words.reserve(count);
  const std::uint64_t end = of.bytes.size() / 8;
  std::uint64_t next = 0;
  for (std::size_t i = 0; i != count; ++i) {
    word& w = of.words.emplace_back();
    const std::uint64_t skipped = in.varint();
    if (skipped >= end - next) in.fail(numbered(name, i, "it is past the end of all"));
    next += skipped;
    w.offset = next++ * 8;
    w.what = read_value(in);
    if (load<std::uint64_t>(&of.bytes[w.offset]) != 0) in.fail(numbered(name, i, "its bytes are not zero"));
  }
}

}  // namespace

image read(std::span<const std::byte> bytes, std::string_view file, const address_range& region) {
  return reader(bytes, file, region).run();
}

}  // namespace snapshot
STACKLESS_END
