#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <fstream>
#include <functional>
#include <new>
#include <random>
#include <string>
#include <utility>

#include "tests/serialize/sample_image.hpp"

namespace {

namespace snapshot = stackless::snapshot;
using sample::bytes;
using sample::parts;
using snapshot::meaning;
using snapshot::section;
using snapshot::state;
using stackless::snapshot_error;
using kind = snapshot_error::kind;

/// The error of reading `file`, which has to be one.
snapshot_error error_of(const bytes& file) {
  try {
    sample::read(file);
  } catch (const snapshot_error& error) {
    return error;
  }
  ADD_FAILURE() << "accepted";
  return {kind::io, {}};
}

void expect_damaged(const bytes& file, const std::string& reason) {
  const auto error = error_of(file);
  EXPECT_EQ(error.reason(), kind::damaged) << error.what();
  EXPECT_EQ(error.about().file, "sample.snap");
  EXPECT_NE(std::string(error.what()).find(reason), std::string::npos)
      << error.what() << "\ninstead of " << reason;
}

void expect_equal(const snapshot::payload& read, const snapshot::payload& wrote) {
  EXPECT_EQ(read.bytes, wrote.bytes);
  ASSERT_EQ(read.words.size(), wrote.words.size());
  for (std::size_t i = 0; i != wrote.words.size(); ++i) {
    EXPECT_EQ(read.words[i].offset, wrote.words[i].offset);
    EXPECT_EQ(read.words[i].what, wrote.words[i].what);
  }
}

void put(bytes& to, std::initializer_list<std::uint64_t> numbers) {
  snapshot::output out(to);
  for (std::uint64_t number : numbers) out.varint(number);
}

TEST(reader, gives_back_every_field) {
  const auto wrote = sample::full();
  const auto read = sample::read(sample::written(wrote));
  EXPECT_EQ(read.machine, wrote.machine);
  EXPECT_EQ(read.library, wrote.library);
  EXPECT_EQ(read.roots, wrote.roots);
  ASSERT_EQ(read.modules.size(), wrote.modules.size());
  for (std::size_t i = 0; i != wrote.modules.size(); ++i) {
    EXPECT_EQ(read.modules[i].path, wrote.modules[i].path);
    EXPECT_EQ(read.modules[i].build_id, wrote.modules[i].build_id);
    EXPECT_EQ(read.modules[i].size, wrote.modules[i].size);
  }
  ASSERT_EQ(read.tasklets.size(), wrote.tasklets.size());
  for (std::size_t i = 0; i != wrote.tasklets.size(); ++i) {
    const auto& r = read.tasklets[i];
    const auto& w = wrote.tasklets[i];
    EXPECT_EQ(r.home, w.home);
    EXPECT_EQ(r.state, w.state);
    EXPECT_EQ(r.handles, w.handles);
    for (auto field : {&snapshot::tasklet::body, &snapshot::tasklet::closure, &snapshot::tasklet::pc,
                       &snapshot::tasklet::fp, &snapshot::tasklet::base, &snapshot::tasklet::caught,
                       &snapshot::tasklet::failure, &snapshot::tasklet::extras})
      EXPECT_EQ(r.*field, w.*field);
    EXPECT_EQ(r.sp, w.sp);
    EXPECT_EQ(r.has_value, w.has_value);
    EXPECT_EQ(r.transfer, w.transfer);
    EXPECT_EQ(r.uncaught, w.uncaught);
    EXPECT_EQ(r.waking, w.waking);
    EXPECT_EQ(r.block_trap, w.block_trap);
    EXPECT_EQ(r.atomic, w.atomic);
    EXPECT_EQ(r.sends_failure, w.sends_failure);
    EXPECT_EQ(r.sliced, w.sliced);
    EXPECT_EQ(r.slot, w.slot);
    EXPECT_EQ(r.slot_size, w.slot_size);
    EXPECT_EQ(r.live, w.live);
    EXPECT_EQ(r.stack_size, w.stack_size);
    EXPECT_EQ(r.frame_count, w.frame_count);
  }
  ASSERT_EQ(read.frames.size(), wrote.frames.size());
  for (std::size_t i = 0; i != wrote.frames.size(); ++i) {
    EXPECT_EQ(read.frames[i].pc, wrote.frames[i].pc);
    EXPECT_EQ(read.frames[i].size, wrote.frames[i].size);
    EXPECT_EQ(read.frames[i].found, wrote.frames[i].found);
  }
  ASSERT_EQ(read.channels.size(), wrote.channels.size());
  for (std::size_t i = 0; i != wrote.channels.size(); ++i) {
    EXPECT_EQ(read.channels[i].where, wrote.channels[i].where);
    EXPECT_EQ(read.channels[i].waiting, wrote.channels[i].waiting);
  }
  ASSERT_EQ(read.spans.size(), wrote.spans.size());
  for (std::size_t i = 0; i != wrote.spans.size(); ++i) {
    EXPECT_EQ(read.spans[i].begin, wrote.spans[i].begin);
    EXPECT_EQ(read.spans[i].size, wrote.spans[i].size);
    EXPECT_EQ(read.spans[i].cell_size, wrote.spans[i].cell_size);
  }
  ASSERT_EQ(read.blocks.size(), wrote.blocks.size());
  for (std::size_t i = 0; i != wrote.blocks.size(); ++i) {
    EXPECT_EQ(read.blocks[i].span, wrote.blocks[i].span);
    EXPECT_EQ(read.blocks[i].begin, wrote.blocks[i].begin);
  }
  expect_equal(read.stacks, wrote.stacks);
  expect_equal(read.heap, wrote.heap);
}

TEST(reader, cut_at_every_length) {
  for (const bytes& file : {sample::written(sample::small()), sample::written(sample::full())}) {
    for (std::size_t length = 0; length != file.size(); ++length) {
      const auto error = error_of(bytes(file.begin(), file.begin() + static_cast<std::ptrdiff_t>(length)));
      ASSERT_EQ(error.reason(), kind::damaged) << length;
      std::string reason = "not a snapshot";
      if (length >= snapshot::file_header::size)
        reason = "truncated: " + std::to_string(file.size() - length) + " bytes are missing";
      else if (length > 0)
        reason = "truncated: at least " + std::to_string(snapshot::file_header::size - length) +
                 " bytes are missing";
      ASSERT_EQ(error.about().reason, reason);
    }
  }
}

TEST(reader, every_bit_flipped) {
  bytes file = sample::written(sample::small());
  for (std::size_t i = 0; i != file.size(); ++i) {
    for (unsigned bit = 0; bit != 8; ++bit) {
      file[i] ^= static_cast<std::byte>(1u << bit);
      ASSERT_EQ(error_of(file).reason(), kind::damaged) << "byte " << i << ", bit " << bit;
      file[i] ^= static_cast<std::byte>(1u << bit);
    }
  }
}

TEST(reader, damage_has_the_name_and_place_of_its_section) {
  const bytes intact = sample::written(sample::full());
  std::size_t at = snapshot::file_header::size;
  for (const auto& part : parts(intact).sections) {
    bytes file = intact;
    const std::size_t last = snapshot::section_header::size + part.payload.size() - 1;
    file[at + (part.payload.empty() ? snapshot::section_header::digest_at : last)] ^= std::byte{0x10};
    const auto error = error_of(file);
    EXPECT_EQ(error.about().section, snapshot::name(section{part.type}));
    EXPECT_EQ(error.about().offset, at);
    EXPECT_EQ(error.about().reason, "checksum mismatch");
    EXPECT_EQ(error.about().expected.size(), 32u);
    at += (snapshot::section_header::size + part.payload.size() + 7) / 8 * 8;
  }
}

TEST(reader, sees_what_only_the_digest_of_the_file_covers) {
  bytes file = sample::written(sample::small());
  file[snapshot::file_header::written_by_at] = std::byte{9};
  expect_damaged(file, "sample.snap: checksum mismatch");
}

TEST(reader, not_a_snapshot) {
  const auto text = [](std::string_view letters) {
    const auto all = std::as_bytes(std::span(letters));
    return bytes(all.begin(), all.end());
  };
  expect_damaged(text(""), "sample.snap: not a snapshot");
  expect_damaged(text("\x7f"
                      "ELF and so on"),
                 "not a snapshot");
  expect_damaged(text("SLC\r\n\x1a\n"), "not a snapshot");
  for (std::string_view translated : {"\x8bSLC\n\x1a\n", "\x8bSLC\r\r\n\x1a\r\n", "\x0bSLC\r\n\x1a\n"}) {
    const auto error = error_of(text(translated));
    EXPECT_EQ(error.about().reason, "not a snapshot");
    EXPECT_NE(error.about().hint.find("transfer it as binary"), std::string::npos);
  }
}

TEST(reader, a_sealed_file_is_named) {
  bytes file = sample::written(sample::small());
  snapshot::store(file.data(), snapshot::sealed_magic);
  const auto error = error_of(file);
  EXPECT_EQ(error.reason(), kind::sealed);
  EXPECT_EQ(error.about().reason, "sealed: give the key to read it");
  EXPECT_FALSE(error.about().hint.empty());
}

TEST(reader, a_newer_format_is_named) {
  parts file(sample::written(sample::small()));
  file.written_by = 7;
  file.min_reader = 3;
  const auto error = error_of(file.assembled());
  EXPECT_EQ(error.reason(), kind::too_new);
  EXPECT_EQ(error.about().reason,
            "written in format 7 for readers of format 3 and newer; this one reads format 1");

  file.min_reader = 1;
  EXPECT_NO_THROW(sample::read(file.assembled()));
  file.min_reader = 8;
  expect_damaged(file.assembled(), "no writer of format 7");
  file.min_reader = 0;
  expect_damaged(file.assembled(), "readers of format 0");
}

TEST(reader, a_section_not_known_is_skipped_unless_critical) {
  parts file(sample::written(sample::full()));
  const auto later = file.sections.insert(file.sections.end() - 1, {700, 0, bytes(13, std::byte{'x'})});
  EXPECT_TRUE(sample::written(sample::read(file.assembled())) == sample::written(sample::full()));

  later->flags = snapshot::critical;
  auto error = error_of(file.assembled());
  EXPECT_EQ(error.reason(), kind::too_new);
  EXPECT_EQ(error.about().section, "700");

  later->flags = 2;
  expect_damaged(file.assembled(), "unknown flags");
}

TEST(reader, sections_missing_doubled_or_out_of_order) {
  const parts intact(sample::written(sample::full()));
  for (std::size_t i = 0; i != intact.sections.size(); ++i) {
    parts file = intact;
    file.sections.erase(file.sections.begin() + static_cast<std::ptrdiff_t>(i));
    expect_damaged(file.assembled(),
                   i + 1 == intact.sections.size() ? "ends before section END" : "is missing before it");

    file = intact;
    file.sections.insert(file.sections.begin() + static_cast<std::ptrdiff_t>(i), intact.sections[i]);
    expect_damaged(file.assembled(),
                   i + 1 == intact.sections.size() ? "bytes follow section END" : "there twice");

    if (i == 0) continue;
    file = intact;
    std::swap(file.sections[i], file.sections[i - 1]);
    expect_damaged(file.assembled(), "is missing before it");

    file = intact;
    file.sections[i].flags = 0;
    expect_damaged(file.assembled(), "not marked as critical");
  }
}

TEST(reader, padding_is_zero_and_the_end_is_the_end) {
  parts file(sample::written(sample::full()));
  bytes padded = file.assembled();
  std::size_t at = snapshot::file_header::size;
  for (const auto& part : file.sections) {
    const std::size_t end = at + snapshot::section_header::size + part.payload.size();
    if (end % 8 != 0) {
      padded[end] = std::byte{1};
      parts::sign(padded, 1, 1);
      expect_damaged(padded, "padding is not zero");
      padded[end] = std::byte{0};
    }
    at = (end + 7) / 8 * 8;
  }
  padded.resize(padded.size() + 8);
  expect_damaged(padded, "8 bytes follow the end of the snapshot");
  parts::sign(padded, 1, 1);
  expect_damaged(padded, "bytes follow section END");

  file[section::end].push_back(std::byte{0});
  expect_damaged(file.assembled(), "left over");
}

TEST(reader, bytes_left_over_or_missing_in_each_section) {
  const parts intact(sample::written(sample::full()));
  for (const auto& part : intact.sections) {
    parts file = intact;
    file[section{part.type}].push_back(std::byte{0});
    EXPECT_EQ(error_of(file.assembled()).reason(), kind::damaged);
    if (part.payload.empty()) continue;
    file = intact;
    file[section{part.type}].pop_back();
    EXPECT_EQ(error_of(file.assembled()).reason(), kind::damaged);
  }
}

struct violation {
  const char* reason;
  std::function<void(snapshot::image&)> commit;
};

snapshot::frame& frame_of(snapshot::image& i, std::size_t tasklet, std::size_t frame) {
  for (std::size_t before = 0; before != tasklet; ++before) frame += i.tasklets[before].frame_count;
  return i.frames[frame];
}

void move_slot(snapshot::tasklet& t, std::uint64_t distance) {
  t.slot += distance;
  t.live += distance;
  t.sp += distance;
}

const violation violations[] = {
    {"section MODULES at 0x58: no module", [](auto& i) { i.modules.clear(); }},
    {"module 1: its path is not a path", [](auto& i) { i.modules[1].path.push_back('\0'); }},
    {"module 0: no build-id", [](auto& i) { i.modules[0].build_id.clear(); }},
    {"module 0: it is empty", [](auto& i) { i.modules[0].size = 0; }},
    {"roots are not between", [](auto& i) { i.roots = 0; }},
    {"roots are not between", [](auto& i) { i.roots = 9; }},
    {"tasklet 0: its record is outside of the region", [](auto& i) { i.tasklets[0].home = 0x40; }},
    {"tasklet 5: its record is outside of the region",
     [](auto& i) { i.tasklets[5].home = sample::region.end; }},
    {"unknown enumerator", [](auto& i) { i.tasklets[5].state = state{0}; }},
    {"unknown enumerator", [](auto& i) { i.tasklets[5].state = state{6}; }},
    {"unknown enumerator", [](auto& i) { i.machine = snapshot::machine{0}; }},
    {"unknown enumerator", [](auto& i) { i.machine = snapshot::machine{3}; }},
    {"unknown enumerator", [](auto& i) { i.tasklets[0].fp.means = meaning{7}; }},
    {"unknown enumerator", [](auto& i) { i.frames[0].found = snapshot::return_address{4}; }},
    {"module 2 does not exist", [](auto& i) { i.tasklets[0].pc.index = 2; }},
    {"module 2 does not exist", [](auto& i) { i.heap.words[1].what.index = 2; }},
    {"module 0: a word leads past its end", [](auto& i) { i.tasklets[0].body.number = 0x12'3457; }},
    {"tasklet 0: it sends no value", [](auto& i) { i.tasklets[0].has_value = false; }},
    {"tasklet 1: it holds a value", [](auto& i) { i.tasklets[1].has_value = true; }},
    {"tasklet 5: it holds a value", [](auto& i) { i.tasklets[5].has_value = true; }},
    {"tasklet 1: it does not send", [](auto& i) { i.tasklets[1].sends_failure = true; }},
    {"tasklet 0: it holds a value", [](auto& i) { i.tasklets[0].sends_failure = true; }},
    {"tasklet 1: it is blocked, but about to throw", [](auto& i) { i.tasklets[1].waking = snapshot::waking::to_exit; }},
    {"tasklet 3: its first frame is not where it goes on", [](auto& i) { frame_of(i, 3, 0).pc.number += 1; }},
    {"tasklet 3: it goes on outside", [](auto& i) { i.tasklets[3].pc.means = meaning::data; }},
    {"tasklet 3: its slot is not aligned", [](auto& i) { i.tasklets[3].slot += 0x1000; }},
    {"tasklet 3: the size of its slot is not that of a slot", [](auto& i) { i.tasklets[3].slot_size -= 0x1000; }},
    {"tasklet 5: the size of its slot is not that of a slot", [](auto& i) { i.tasklets[5].slot_size = 8; }},
    {"tasklet 3: its slot is outside of the region",
     [](auto& i) {
       auto& t = i.tasklets[3];
       move_slot(t, sample::region.begin - 0x1'0000 - t.slot);
     }},
    {"tasklet 3: its slot is outside of the region",
     [](auto& i) { i.tasklets[3].slot_size = sample::region.end - i.tasklets[3].slot + 0x1'0000; }},
    {"tasklet 3: its slot is outside of the region",
     [](auto& i) { i.tasklets[3].slot_size = ~std::uint64_t{0xffff}; }},
    {"tasklet 3: its stack is not inside its slot",
     [](auto& i) {
       i.stacks.bytes.resize(i.stacks.bytes.size() - std::exchange(i.tasklets[3].stack_size, 0));
     }},
    {"tasklet 3: its stack is not inside its slot", [](auto& i) { i.tasklets[3].slot_size -= 0x1'0000; }},
    {"tasklet 3: its stack is not inside its slot", [](auto& i) { i.tasklets[3].live += 8; }},
    {"tasklet 3: its stack is not inside its slot",
     [](auto& i) { i.tasklets[3].live = i.tasklets[3].slot - 8; }},
    {"tasklet 3: its stack pointer is not inside its stack", [](auto& i) { i.tasklets[3].sp += 16; }},
    {"tasklet 3: its stack pointer is not inside its stack",
     [](auto& i) { i.tasklets[3].sp = i.tasklets[3].live - 8; }},
    {"tasklet 3: its stack is not aligned", [](auto& i) { i.tasklets[3].sp += 4; }},
    {"tasklet 3: its stack is not aligned",
     [](auto& i) {
       i.tasklets[3].live -= 4;
       i.tasklets[3].sp -= 4;
     }},
    {"tasklet 3: its stack is not aligned",
     [](auto& i) {
       --i.tasklets[3].stack_size;
       i.stacks.bytes.pop_back();
     }},
    {"tasklet 3: no frame",
     [](auto& i) { i.frames.resize(i.frames.size() - std::exchange(i.tasklets[3].frame_count, 0)); }},
    {"tasklet 3: a frame goes on outside", [](auto& i) { frame_of(i, 3, 0).pc.index = 2; }},
    {"tasklet 3: a frame goes on outside", [](auto& i) { frame_of(i, 3, 0).pc.number = 0x20'0001; }},
    {"tasklet 0: a frame does not fit", [](auto& i) { i.frames[1].size += 8; }},
    {"tasklet 0: a frame does not fit", [](auto& i) { i.frames[1].size = ~std::uint64_t{7}; }},
    {"tasklet 0: a frame does not fit", [](auto& i) { i.frames[1].size -= 4; }},
    {"tasklet 0: its frames do not fill", [](auto& i) { i.frames[1].size -= 8; }},
    {"tasklet 0: the trampoline is not",
     [](auto& i) { i.frames[1].found = snapshot::return_address::none; }},
    {"tasklet 0: the trampoline is not",
     [](auto& i) { i.frames[2].found = snapshot::return_address::fixed; }},
    {"overlap at 0x140000000040", [](auto& i) { i.tasklets[3].home = i.tasklets[1].home; }},
    {"overlap", [](auto& i) { i.tasklets[3].home = i.tasklets[1].slot + 64; }},
    {"overlap", [](auto& i) { i.tasklets[3].home = i.spans[2].begin + i.spans[2].size - 64; }},
    {"overlap", [](auto& i) { move_slot(i.tasklets[2], std::uint64_t(-0x1'0000)); }},
    {"overlap",
     [](auto& i) {
       i.tasklets[3].slot = i.spans[1].begin;
       i.tasklets[3].live = i.tasklets[3].slot + 0x4'0000 - 0x90;
       i.tasklets[3].sp = i.tasklets[3].live + 0x80;
     }},
    {"tasklet 6: it shares its slot, but keeps",
     [](auto& i) {
       i.tasklets[6].sp += 8;
       frame_of(i, 6, 1).size -= 8;
     }},
    {"overlap at 0x130000800000", [](auto& i) { i.tasklets[7].sliced = false; }},
    {"overlap at 0x130000800000", [](auto& i) { i.tasklets[6].sliced = false; }},
    {"overlap at 0x130000800000", [](auto& i) { i.tasklets[7].slot_size += 0x4'0000; }},
    {"overlap at 0x130000810000", [](auto& i) { move_slot(i.tasklets[7], 0x1'0000); }},
    {"overlap at 0x130000810000", [](auto& i) { i.tasklets[5].home = i.tasklets[7].slot + 0x1'0000; }},
    {"overlap at 0x130000080000",
     [](auto& i) {
       const auto distance = i.tasklets[3].slot - i.tasklets[6].slot;
       move_slot(i.tasklets[6], distance);
       move_slot(i.tasklets[7], distance);
     }},
    {"channel 1: neither a global", [](auto& i) { i.channels[1].where.number = i.tasklets[7].live + 8; }},
    {"channel 0: neither a global",
     [](auto& i) {
       i.channels[0].where = {meaning::thread_local_, 0, 8};
     }},
    {"channel 1: neither a global", [](auto& i) { i.channels[1].where.number = 0x1200'0000'0000; }},
    {"channel 1: neither a global", [](auto& i) { i.channels[1].where.number += 4; }},
    {"channel 0: nobody waits", [](auto& i) { i.channels[0].waiting.clear(); }},
    {"channel 0: who waits on it does not exist", [](auto& i) { i.channels[0].waiting[1] = 8; }},
    {"tasklet 3: in a channel's queue, but not blocked", [](auto& i) { i.channels[0].waiting[1] = 3; }},
    {"channel 0: senders and receivers", [](auto& i) { i.channels[0].waiting.push_back(0); }},
    {"tasklet 2: twice in queues", [](auto& i) { i.channels[0].waiting[1] = 2; }},
    {"tasklet 1: blocked, but in no channel's queue", [](auto& i) { i.channels[0].waiting.pop_back(); }},
    {"tasklet 0: blocked, but in no channel's queue", [](auto& i) { i.channels.pop_back(); }},
    {"a channel is there twice",
     [](auto& i) {
       i.channels[0].waiting = {1};
       i.channels.push_back(i.channels[0]);
       i.channels.back().waiting = {2};
     }},
    {"span 0: outside of the region",
     [](auto& i) {
       i.spans[0].begin = sample::region.begin - 0x1'0000;
       i.blocks.clear();
       i.heap.bytes.clear();
     }},
    {"span 2: outside of the region", [](auto& i) { i.spans[2].size = ~i.spans[2].begin + 1 - 0x1'0000; }},
    {"span 2: outside of the region",
     [](auto& i) {
       i.spans[2].size = 0;
       i.blocks.pop_back();
       i.heap.bytes.resize(i.heap.bytes.size() - 48);
     }},
    {"span 1: not aligned", [](auto& i) { i.spans[1].size += 8; }},
    {"span 2: no cells of such a size",
     [](auto& i) {
       i.spans[2].cell_size = 24;
       i.blocks.pop_back();
       i.heap.bytes.resize(i.heap.bytes.size() - 48);
     }},
    {"span 2: no cells of such a size",
     [](auto& i) {
       i.spans[2].cell_size = 0x10'0010;
       i.blocks.pop_back();
       i.heap.bytes.resize(i.heap.bytes.size() - 48);
     }},
    {"span 0: a block is outside of it",
     [](auto& i) {
       i.spans[0].cell_size = 80;  // 819 cells, so the last 16 bytes are in none
       i.blocks.erase(i.blocks.begin(), i.blocks.begin() + 2);
       i.blocks[0].begin = i.spans[0].begin + 819 * 80;
       i.heap.bytes.resize(i.heap.bytes.size() - 3 * 64 + 80);
     }},
    {"a stack's word 2: it is past the end", [](auto& i) { i.stacks.words[2].offset = i.stacks.bytes.size(); }},
    {"a block's word 3: it is past the end", [](auto& i) { i.heap.words[3].offset += 8; }},
    {"a stack's word 1: its bytes are not zero", [](auto& i) { i.stacks.bytes[0x207] = std::byte{1}; }},
    {"a block's word 0: its bytes are not zero", [](auto& i) { i.heap.bytes[7] = std::byte{1}; }},
};

TEST(reader, each_rule_broken_once) {
  for (const violation& broken : violations) {
    auto image = sample::full();
    broken.commit(image);
    SCOPED_TRACE(broken.reason);
    expect_damaged(sample::written(image), broken.reason);
  }
}

TEST(reader, numbers_only_bytes_can_break) {
  parts file(sample::written(sample::full()));
  const parts intact = file;

  file[section::tasklets].clear();
  put(file[section::tasklets], {1, 1, 2 * (0x1300'0000'0000 / 64), 5, std::uint64_t{1} << 32, 0, 0x4'0000, 0, 0, 0, 0, 0, 0, 0});
  expect_damaged(file.assembled(), "does not fit 32 bits");

  file = intact;
  file[section::tasklets].clear();
  put(file[section::tasklets], {1, 1, 2 * (0x1300'0000'0000 / 64), 5, 0, 0, 0x4'0000, 0, 0, 0, 0, 0, 0, 2});
  expect_damaged(file.assembled(), "unknown enumerator");

  // A gap so long that adding it to the end of the span before wraps around.
  file = intact;
  file[section::spans].clear();
  put(file[section::spans],
      {2, 0x1200'0000'0000, 0x1'0000, 64, 0, ~std::uint64_t{0} - 0xffff, 0x1'0000, 64, 0});
  expect_damaged(file.assembled(), "span 1: outside of the region");

  file = intact;
  file[section::words].clear();
  put(file[section::words], {2, 0, 0, 0, ~std::uint64_t{0} - 1, 0, 0, 0});
  expect_damaged(file.assembled(), "word 1: it is past the end");

  // Longer than the section that holds the bytes.
  file = intact;
  file[section::stacks].resize(8);
  expect_damaged(file.assembled(), "longer than what is left of section STACKS");
  file = intact;
  file[section::heap].resize(64);
  expect_damaged(file.assembled(), "longer than what is left of section HEAP");
}

/// What `work` returns in a process that can get hardly any memory.
int with_little_memory(const std::function<int()>& work) {
  const pid_t child = fork();
  if (child == 0) {
#if !STACKLESS_ASAN && !STACKLESS_TSAN  // their shadow is larger than any limit
    std::size_t pages = 0;
    std::ifstream("/proc/self/statm") >> pages;
    const rlim_t most = pages * static_cast<std::size_t>(getpagesize()) + (std::size_t{256} << 20);
    const rlimit limit{most, most};
    setrlimit(RLIMIT_AS, &limit);
#endif
    int status = 99;
    try {
      status = work();
    } catch (const std::bad_alloc&) {
      status = 98;
    }
    _exit(status);
  }
  int status = 0;
  waitpid(child, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : 97;
}

TEST(reader, crafted_lengths_allocate_nothing) {
  const parts intact(sample::written(sample::full()));
  const auto refused = [](const bytes& file) {
    return with_little_memory([&] {
      try {
        sample::read(file);
      } catch (const snapshot_error& error) {
        return error.reason() == kind::damaged ? 0 : 1;
      }
      return 2;
    });
  };
  for (std::uint64_t huge : {std::uint64_t{1} << 24, std::uint64_t{1} << 40, ~std::uint64_t{0}}) {
    for (section type : {section::modules, section::tasklets, section::frames, section::channels,
                         section::spans, section::words}) {
      parts file = intact;
      file[type].clear();
      put(file[type], {huge, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1});
      EXPECT_EQ(refused(file.assembled()), 0) << snapshot::name(type) << ' ' << huge;
    }
    parts file = intact;
    file[section::machine].resize(1);
    put(file[section::machine], {huge});
    EXPECT_EQ(refused(file.assembled()), 0);

    file = intact;
    file[section::spans].clear();
    put(file[section::spans], {1, 0x1200'0000'0000, 0x1'0000'0000, 0x1'0000'0000 - 16, 1, 0});
    EXPECT_EQ(refused(file.assembled()), 0);

    auto crafted = intact.assembled();
    snapshot::store(&crafted[snapshot::file_header::size + snapshot::section_header::length_at], huge);
    EXPECT_EQ(refused(crafted), 0);
    snapshot::store(&crafted[snapshot::file_header::size_at], huge);
    EXPECT_EQ(refused(crafted), 0);
  }
}

/// Damage behind right digests: what is still accepted has exactly one form.
TEST(reader, accepts_nothing_that_the_writer_would_write_differently) {
  std::mt19937 random(20);
  const parts originals[] = {parts(sample::written(sample::small())), parts(sample::written(sample::full()))};
  unsigned accepted = 0;
  for (int round = 0; round != 20'000; ++round) {
    parts file = originals[round % 2];
    for (unsigned changes = 1 + random() % 3; changes != 0; --changes) {
      bytes& payload = file.sections[random() % 9].payload;
      if (payload.empty()) continue;
      const auto at = payload.begin() + static_cast<std::ptrdiff_t>(random() % payload.size());
      switch (random() % 4) {
        case 0:
          *at ^= static_cast<std::byte>(1u << random() % 8);
          break;
        case 1:
          *at = static_cast<std::byte>(random());
          break;
        case 2:
          payload.erase(at);
          break;
        case 3:
          payload.insert(at, static_cast<std::byte>(random()));
          break;
      }
    }
    const bytes crafted = file.assembled();
    try {
      const auto image = sample::read(crafted);
      ++accepted;
      ASSERT_TRUE(sample::written(image) == crafted) << "round " << round;
    } catch (const snapshot_error& error) {
      ASSERT_EQ(error.reason(), kind::damaged) << error.what();
      ASSERT_FALSE(error.about().section.empty()) << error.what();
    }
  }
  EXPECT_GT(accepted, 1000u);
}

}  // namespace
