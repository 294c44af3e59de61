// Snapshots that cannot be taken or brought back because of a channel: refused, and nothing has changed.

#include <gtest/gtest.h>
#include <link.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <stackless/stackless.hpp>
#include <string>
#include <vector>

#include "core/access.hpp"
#include "serialize/image.hpp"
#include "serialize/reader.hpp"
#include "serialize/writer.hpp"
#include "tests/serialize/from_child.hpp"

namespace {

namespace snapshot = stackless::snapshot;
using stackless::channel;
using stackless::run;
using stackless::schedule_remove;
using stackless::snapshot_error;
using stackless::tasklet;
using kind = snapshot_error::kind;

class refusals : public testing::Test {
 protected:
  void TearDown() override { EXPECT_EQ(stackless::runcount(), 1u); }
};

void expect_refusal(kind why, const std::string& named, const std::function<void()>& operation) {
  try {
    operation();
    ADD_FAILURE() << "was not refused";
  } catch (const snapshot_error& e) {
    EXPECT_EQ(e.reason(), why) << e.what();
    EXPECT_NE(std::string(e.what()).find(named), std::string::npos) << e.what();
  }
}

channel<int> global;

tasklet waiting_receiver() {
  tasklet t([] { global.receive(); });
  run();
  return t;
}

tasklet waiting_sender() {
  tasklet t([] { global.send(7); });
  run();
  return t;
}

TEST_F(refusals, receiver_does_not_come_back_beside_a_sender_that_waits) {
  const auto bytes = saved_in_child(waiting_receiver);
  const tasklet sender = waiting_sender();
  expect_refusal(kind::home_taken, "send", [&] { stackless::loads(bytes); });
  EXPECT_EQ(global.balance(), 1);
  EXPECT_EQ(global.receive(), 7);
  run();
  EXPECT_FALSE(sender.alive());

  const tasklet receiver = stackless::loads(bytes);
  EXPECT_EQ(global.balance(), -1);
  global.send(8);
  EXPECT_FALSE(receiver.alive());
}

TEST_F(refusals, sender_does_not_come_back_beside_a_receiver_that_waits) {
  const auto bytes = saved_in_child(waiting_sender);
  const tasklet receiver = waiting_receiver();
  expect_refusal(kind::home_taken, "receiv", [&] { stackless::loads(bytes); });
  EXPECT_EQ(global.balance(), -1);
  global.send(8);
  EXPECT_FALSE(receiver.alive());

  const tasklet sender = stackless::loads(bytes);
  EXPECT_EQ(global.balance(), 1);
  EXPECT_EQ(global.receive(), 7);
  run();
  EXPECT_FALSE(sender.alive());
}

TEST_F(refusals, those_of_the_same_side_come_back_behind_those_that_wait) {
  const auto bytes = saved_in_child(waiting_sender);
  tasklet([] { global.send(1); });
  run();
  const tasklet back = stackless::loads(bytes);
  EXPECT_EQ(global.balance(), 2);
  EXPECT_EQ(global.receive(), 1);
  EXPECT_EQ(global.receive(), 7);
  run();
  EXPECT_FALSE(back.alive());
}

TEST_F(refusals, channel_that_main_waits_on_cannot_be_saved) {
  const auto c = std::make_shared<channel<int>>();
  tasklet holder(
      [](std::shared_ptr<channel<int>> held) {
        schedule_remove();
        held->send(5);
      },
      c);
  holder.run();
  tasklet([&] {
    expect_refusal(kind::not_restorable, "main", [&] { stackless::dumps(holder); });
    holder.insert();
  });
  EXPECT_EQ(c->receive(), 5);
  run();
  EXPECT_FALSE(holder.alive());
}

TEST_F(refusals, channel_on_its_stack_that_main_waits_on_cannot_be_saved) {
  static channel<int>* lent = nullptr;
  tasklet holder({.stack = stackless::stack::own}, [] {
    channel<int> own;
    lent = &own;
    schedule_remove();
    own.receive();
  });
  holder.run();
  tasklet([&] {
    expect_refusal(kind::not_restorable, "main", [&] { stackless::dumps(holder); });
    holder.insert();
  });
  lent->send(5);
  run();
  EXPECT_FALSE(holder.alive());
}

/// A file whose digests are right but whose channel is not where it was saved.
class moved_channel : public refusals {
 protected:
  using edit = std::function<void(snapshot::image&)>;

  static std::vector<std::byte> edited(const std::vector<std::byte>& bytes, const edit& change) {
    snapshot::image image = snapshot::read(bytes, "<memory>");
    change(image);
    std::pmr::vector<std::byte> file(snapshot::scratch());
    snapshot::write(image, file);
    return {file.begin(), file.end()};
  }

  void expect_refused_at(std::uintptr_t address) const {
    const auto crafted = edited(saved_, [&](snapshot::image& image) {
      image.channels[0].where.number += address - reinterpret_cast<std::uintptr_t>(&global);
    });
    expect_refusal(kind::damaged, "channel", [&] { stackless::loads(crafted); });
  }

  void TearDown() override {
    EXPECT_EQ(global.balance(), 0);
    tasklet back = stackless::loads(saved_);
    EXPECT_TRUE(back.blocked()) << "its home is still free";
    back.kill();
    refusals::TearDown();
  }

  std::vector<std::byte> saved_ = saved_in_child(waiting_receiver);
};

TEST_F(moved_channel, to_a_misaligned_address_is_damage) {
  static std::array<std::uint64_t, 16> zeros;
  zeros.fill(0);
  expect_refused_at(reinterpret_cast<std::uintptr_t>(&zeros) + 4);
}

TEST_F(moved_channel, to_code_is_damage) {
  expect_refused_at(reinterpret_cast<std::uintptr_t>(&waiting_receiver) / 8 * 8);
}

TEST_F(moved_channel, to_what_is_read_only_after_the_start_is_damage) {
  std::uintptr_t read_only = 0;
  dl_iterate_phdr(
      [](dl_phdr_info* info, std::size_t, void* found) {
        for (const auto& header : std::span(info->dlpi_phdr, info->dlpi_phnum))
          if (header.p_type == PT_GNU_RELRO)
            *static_cast<std::uintptr_t*>(found) = (info->dlpi_addr + header.p_vaddr + 7) / 8 * 8;
        return 1;  // the program is the first
      },
      &read_only);
  ASSERT_NE(read_only, 0u) << "the program is linked without RELRO";
  expect_refused_at(read_only);
}

TEST_F(moved_channel, to_the_end_of_the_program_is_damage) {
  const auto crafted = edited(saved_, [](snapshot::image& image) {
    image.channels[0].where.number = image.modules[image.channels[0].where.index].size - 8;
  });
  expect_refusal(kind::damaged, "channel", [&] { stackless::loads(crafted); });
}

TEST_F(moved_channel, to_a_variable_that_is_no_channel_is_damage) {
  static std::array<std::uint64_t, 16> no_channel;
  tasklet stranger([] { schedule_remove(); });
  stranger.run();
  const auto* record = stackless::tasklet_access::record(stranger);
  for (const std::uint64_t word :
       {std::uint64_t{1}, std::uint64_t{0x6867'6665'6463'6261}, ~std::uint64_t{0},
        std::uint64_t{reinterpret_cast<std::uintptr_t>(&no_channel)},
        std::uint64_t{stackless::detail::tagged<stackless::detail::queue_tag>(record)}}) {
    no_channel.fill(word);
    const auto before = no_channel;
    expect_refused_at(reinterpret_cast<std::uintptr_t>(&no_channel));
    EXPECT_EQ(no_channel, before);
  }
  stranger.kill();
}

TEST_F(moved_channel, to_a_library_that_is_not_loaded_is_the_wrong_program) {
  const auto crafted = edited(saved_, [](snapshot::image& image) {
    auto& module = image.modules.emplace_back();
    module.path = "/lib/libgone.so";
    module.build_id.assign(20, std::byte{0x5a});
    module.size = 1 << 20;
    image.channels[0].where.index = static_cast<std::uint32_t>(image.modules.size() - 1);
    image.channels[0].where.number = 4096;
  });
  expect_refusal(kind::wrong_program, "/lib/libgone.so", [&] { stackless::loads(crafted); });
}

}  // namespace
