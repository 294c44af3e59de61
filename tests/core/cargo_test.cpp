// A value on its way through a channel: moved, never copied, and destroyed exactly once whatever happens.

#include <gtest/gtest.h>

#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <stackless/channel.hpp>
#include <stackless/error.hpp>
#include <stackless/scheduler.hpp>
#include <stackless/tasklet.hpp>
#include <string>
#include <utility>

namespace {

using stackless::channel;
using stackless::run;
using stackless::runcount;
using stackless::schedule;
using stackless::tasklet;

struct tally {
  int made = 0, copied = 0, moved = 0, destroyed = 0;

  int living() const { return made + copied + moved - destroyed; }
};
tally counts;

/// Counts what happens to it. The filler decides whether it fits into a record, the second parameter whether
/// its move may throw.
template <std::size_t filler, bool move_is_noexcept = true>
struct counted {
  explicit counted(int v) : value(v) { ++counts.made; }
  counted(const counted& other) : value(other.value) { ++counts.copied; }
  counted(counted&& other) noexcept(move_is_noexcept) : value(std::exchange(other.value, -1)) {
    ++counts.moved;
  }
  counted& operator=(const counted&) = delete;
  ~counted() {
    EXPECT_EQ(self, this) << "destroyed where it was not constructed";
    ++counts.destroyed;
  }

  int value;
  std::array<char, filler> fill{};
  counted* self = this;
};

struct alignas(64) over_aligned : counted<1> {
  using counted<1>::counted;
};

template <class T>
class cargo : public testing::Test {
 protected:
  void SetUp() override { counts = {}; }
  void TearDown() override {
    EXPECT_EQ(counts.living(), 0);
    EXPECT_EQ(counts.copied, 0);
    EXPECT_EQ(runcount(), 1u);
  }
};

using shapes = testing::Types<counted<1>, counted<500>, counted<1, false>, over_aligned>;
TYPED_TEST_SUITE(cargo, shapes);

static_assert(stackless::detail::cargo<counted<1>>::fits);
static_assert(!stackless::detail::cargo<counted<500>>::fits);
static_assert(!stackless::detail::cargo<counted<1, false>>::fits);
static_assert(!stackless::detail::cargo<over_aligned>::fits);

TYPED_TEST(cargo, is_moved_and_never_copied) {
  for (int preference : {-1, 0, 1}) {
    for (bool sender_first : {true, false}) {
      channel<TypeParam> c;
      c.preference(preference);
      counts = {};
      int got = 0;
      const auto sends = [&] { c.send(TypeParam(5)); };
      const auto receives = [&] {
        const TypeParam value = c.receive();
        EXPECT_EQ(reinterpret_cast<std::uintptr_t>(&value) % alignof(TypeParam), 0u);
        got = value.value;
      };
      if (sender_first) tasklet{sends};
      tasklet{receives};
      if (!sender_first) tasklet{sends};
      run();
      EXPECT_EQ(got, 5);
      EXPECT_EQ(counts.made, 1);
      EXPECT_LE(counts.moved, 3) << "into send, into the record or a box, out of it";
    }
  }
}

TYPED_TEST(cargo, of_a_killed_sender_is_destroyed_once) {
  channel<TypeParam> c;
  tasklet sender([&] { c.send(TypeParam(5)); });
  run();
  EXPECT_EQ(c.balance(), 1);
  sender.kill();
  EXPECT_EQ(counts.living(), 0);
  EXPECT_EQ(c.balance(), 0);
}

TYPED_TEST(cargo, that_was_handed_to_a_receiver_killed_before_its_turn_is_destroyed_once) {
  channel<TypeParam> c;
  c.preference(1);
  tasklet receiver([&] { c.receive(); });
  run();
  c.send(TypeParam(5));
  EXPECT_EQ(counts.living(), 1) << "the argument is gone, the value is on its way";
  receiver.kill();
  EXPECT_EQ(counts.living(), 0);
}

TYPED_TEST(cargo, of_senders_whose_channel_is_destroyed_is_destroyed_once) {
  std::optional<channel<TypeParam>> c(std::in_place);
  int refused = 0;
  for (int i = 0; i < 3; ++i) {
    tasklet([&] { EXPECT_THROW((c->send(TypeParam(5)), ++refused), stackless::state_error); });
  }
  run();
  EXPECT_EQ(c->balance(), 3);
  c.reset();
  run();
  EXPECT_EQ(counts.living(), 0);
  EXPECT_EQ(refused, 0);
}

TYPED_TEST(cargo, of_a_send_that_is_refused_is_destroyed_once) {
  channel<TypeParam> c;
  EXPECT_THROW(c.send(TypeParam(5)), stackless::deadlock_error);
  EXPECT_EQ(counts.living(), 0);
  EXPECT_EQ(c.balance(), 0);
}

TEST(cargo_types, move_only_values) {
  channel<std::unique_ptr<std::string>> c;
  std::string got;
  tasklet([&] { c.send(std::make_unique<std::string>("moved")); });
  tasklet([&] {
    auto value = c.receive();
    got = *value;
  });
  run();
  EXPECT_EQ(got, "moved");
}

TEST(cargo_types, functions_and_large_arrays) {
  channel<std::function<int()>> functions;
  channel<std::array<long, 1000>> arrays;
  int got = 0;
  long sum = 0;
  tasklet([&] { got = functions.receive()(); });
  tasklet([&] {
    for (long v : arrays.receive()) sum += v;
  });
  tasklet([&] {
    functions.send([x = 20] { return x + 1; });
    std::array<long, 1000> a;
    a.fill(3);
    arrays.send(a);
  });
  run();
  EXPECT_EQ(got, 21);
  EXPECT_EQ(sum, 3000);
}

/// Throws from as many of its moves as it is told to.
struct reluctant {
  static inline int throw_at = 0;
  static inline int living = 0;

  explicit reluctant(int v) : value(v) { ++living; }
  reluctant(reluctant&& other) noexcept(false) : value(other.value) {
    if (throw_at > 0 && --throw_at == 0) throw std::runtime_error("does not move");
    ++living;
  }
  ~reluctant() { --living; }

  int value;
};

TEST(cargo_types, move_that_throws_into_the_box_changes_nothing) {
  channel<reluctant> c;
  int got = 0;
  tasklet([&] { got = c.receive().value; });
  run();
  reluctant::throw_at = 1;
  EXPECT_THROW(c.send(reluctant(1)), std::runtime_error);
  EXPECT_EQ(c.balance(), -1);
  EXPECT_EQ(got, 0);
  c.send(reluctant(2));
  EXPECT_EQ(got, 2);
  EXPECT_EQ(reluctant::living, 0);
}

TEST(cargo_types, move_that_throws_out_of_the_box_leaves_a_channel_that_works) {
  channel<reluctant> c;
  for (int i = 1; i <= 2; ++i) tasklet([&c, i] { c.send(reluctant(i)); });
  run();
  reluctant::throw_at = 1;
  EXPECT_THROW(c.receive(), std::runtime_error);
  int got = 0;
  while (c.balance() > 0) got = c.receive().value;
  EXPECT_EQ(got, 2);
  run();
  EXPECT_EQ(reluctant::living, 0);
}

}  // namespace
