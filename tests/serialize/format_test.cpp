#include <gtest/gtest.h>

#include <algorithm>
#include <cstdio>
#include <stdexcept>
#include <string>

#include "tests/format_document.hpp"
#include "tests/serialize/sample_image.hpp"

namespace {

namespace snapshot = stackless::snapshot;
using sample::bytes;
using stackless::snapshot_error;

std::string dumped(const bytes& file) {
  std::string text;
  for (std::size_t i = 0; i != file.size(); ++i) {
    char piece[16];
    std::snprintf(piece, sizeof piece, "\n%04zx ", i);
    if (i % 16 == 0) text += piece;
    std::snprintf(piece, sizeof piece, " %02x", std::to_integer<unsigned>(file[i]));
    text += piece;
  }
  return text;
}

TEST(format, the_hexdump_of_the_document_is_what_is_written) {
  const bytes expected = sample::written(sample::small());
  const auto shown = hexdump_in_document("```hexdump");
  EXPECT_TRUE(std::equal(shown.begin(), shown.end(), expected.begin(), expected.end()))
      << "FORMAT.md differs from:" << dumped(expected);
}

TEST(format, the_document_names_every_section) {
  const std::string document = format_document();
  for (snapshot::section type : snapshot::sections)
    EXPECT_NE(document.find("### " + std::string(snapshot::name(type))), document.npos)
        << snapshot::name(type);
}

TEST(format, equal_images_give_equal_bytes) {
  bytes reused(snapshot::scratch());
  snapshot::write(sample::full(), reused);
  snapshot::write(sample::small(), reused);
  EXPECT_TRUE(reused == sample::written(sample::small()));
}

TEST(format, layout_of_the_frame) {
  const bytes file = sample::written(sample::full());
  EXPECT_EQ(std::memcmp(file.data(), "\x8bSLC\r\n\x1a\n", 8), 0);
  EXPECT_EQ(snapshot::load<std::uint64_t>(&file[32]), file.size());
  EXPECT_EQ(file.size() % 8, 0u);
  const sample::parts parts(file);
  ASSERT_EQ(parts.sections.size(), snapshot::sections.size());
  for (std::size_t i = 0; i != parts.sections.size(); ++i) {
    EXPECT_EQ(parts.sections[i].type, static_cast<std::uint32_t>(snapshot::sections[i]));
    EXPECT_EQ(parts.sections[i].flags, snapshot::critical);
  }
  EXPECT_TRUE(parts.assembled() == file);
}

TEST(format, an_image_that_bytes_cannot_express_is_not_written) {
  const auto refused = [](auto change) {
    auto image = sample::full();
    change(image);
    EXPECT_THROW(sample::written(image), std::logic_error);
  };
  refused([](auto& image) { image.tasklets[0].home += 8; });
  refused([](auto& image) { image.tasklets[0].slot = 0; });
  refused([](auto& image) { image.tasklets[5].slot = 0x1300'0100'0000; });
  refused([](auto& image) { image.tasklets[0].stack_size += 8; });
  refused([](auto& image) { image.stacks.bytes.pop_back(); });
  refused([](auto& image) { image.tasklets[0].frame_count += 1; });
  refused([](auto& image) { image.frames.emplace_back(); });
  refused([](auto& image) { image.frames[0].pc.means = snapshot::meaning::data; });
  refused([](auto& image) { std::swap(image.spans[0], image.spans[1]); });
  refused([](auto& image) { std::swap(image.blocks[0], image.blocks[1]); });
  refused([](auto& image) { image.blocks[0].begin += 16; });
  refused([](auto& image) { image.heap.bytes.pop_back(); });
  refused([](auto& image) { image.blocks.back().span = 3; });
  refused([](auto& image) { std::swap(image.stacks.words[0], image.stacks.words[1]); });
  refused([](auto& image) { image.heap.words[0].offset += 4; });
}

TEST(format, varints_at_their_edges) {
  for (std::uint64_t number :
       {std::uint64_t{0}, std::uint64_t{0x7f}, std::uint64_t{0x80}, std::uint64_t{0x3fff},
        std::uint64_t{0x4000}, ~std::uint64_t{0} >> 1, ~std::uint64_t{0}}) {
    bytes buffer(snapshot::scratch());
    snapshot::output out(buffer);
    out.varint(number);
    out.zigzag(number);
    snapshot::input in(buffer, "", "", 0);
    EXPECT_EQ(in.varint(), number);
    EXPECT_EQ(in.zigzag(), number);
    EXPECT_EQ(in.left(), 0u);
  }
}

TEST(format, varints_have_one_form) {
  const auto refused = [](std::initializer_list<int> encoded, const char* reason) {
    bytes buffer(snapshot::scratch());
    for (int byte : encoded) buffer.push_back(static_cast<std::byte>(byte));
    snapshot::input in(buffer, "a.snap", "WORDS", 0x100);
    try {
      in.varint();
      ADD_FAILURE() << "accepted";
    } catch (const snapshot_error& error) {
      EXPECT_EQ(error.reason(), snapshot_error::kind::damaged);
      EXPECT_NE(error.about().reason.find(reason), std::string::npos) << error.what();
      EXPECT_EQ(error.about().section, "WORDS");
      EXPECT_EQ(error.about().offset, 0x100u);
    }
  };
  refused({}, "ends too early");
  refused({0x80}, "ends too early");
  refused({0x80, 0x00}, "shortest form");
  refused({0xff, 0x80, 0x00}, "shortest form");
  refused({0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x02}, "64 bits");
  refused({0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x81, 0x00}, "64 bits");
}

TEST(format, an_error_is_one_line_without_its_hint) {
  snapshot_error::details about;
  about.file = "a\nb.snap";
  about.section = "HEAP";
  about.offset = 0x1c40;
  about.reason = "checksum mismatch";
  about.expected = "9f3c";
  about.found = "01aa";
  about.hint = "do something";
  EXPECT_STREQ(snapshot_error(snapshot_error::kind::damaged, about).what(),
               "a?b.snap: section HEAP at 0x1c40: checksum mismatch (expected 9f3c, found 01aa)");
  about.file = "";
  about.expected = "";
  about.offset = 0;
  EXPECT_STREQ(snapshot_error(snapshot_error::kind::damaged, about).what(),
               "section HEAP: checksum mismatch (found 01aa)");
  about.section = "";
  about.found = "";
  const snapshot_error error(snapshot_error::kind::damaged, about);
  EXPECT_STREQ(error.what(), "checksum mismatch");
  EXPECT_EQ(error.about().hint, "do something");
}

TEST(scratch, blocks_are_aligned_and_exhaustion_is_bad_alloc) {
  auto* memory = snapshot::scratch();
  for (std::size_t alignment : {1, 8, 16, 64, 4096}) {
    void* block = memory->allocate(alignment + 1, alignment);
    EXPECT_EQ(reinterpret_cast<std::uintptr_t>(block) % alignment, 0u);
    memory->deallocate(block, alignment + 1, alignment);
  }
  volatile std::size_t absurd = ~std::size_t{0} >> 1;
#if !STACKLESS_ASAN && !STACKLESS_TSAN  // their malloc ends the program instead
  EXPECT_THROW((void)memory->allocate(absurd), std::bad_alloc);
#else
  (void)absurd;
#endif
}

}  // namespace
