// Values whose destructors or moves do more than they should while they are on their way through a channel.

#include <gtest/gtest.h>

#include <array>
#include <stackless/channel.hpp>
#include <stackless/scheduler.hpp>
#include <stackless/tasklet.hpp>
#include <stdexcept>
#include <utility>

namespace {

using stackless::channel;
using stackless::run;
using stackless::tasklet;

channel<int> last_words;

/// Sends its number when it is destroyed, unless it was moved from. The filler decides whether it fits into a
/// record.
template <std::size_t filler>
struct talkative {
  explicit talkative(int n) : number(n) {}
  talkative(talkative&& other) noexcept : number(std::exchange(other.number, 0)), fill(other.fill) {}
  ~talkative() {
    if (number != 0) last_words.send(number);
    for (const char c : fill) EXPECT_EQ(c, 'f') << "overwritten while it was destroyed";
  }

  static std::array<char, filler> filled() {
    std::array<char, filler> f;
    f.fill('f');
    return f;
  }

  int number;
  std::array<char, filler> fill = filled();
};

template <class T>
class talkative_cargo : public testing::Test {
 protected:
  void TearDown() override {
    EXPECT_EQ(last_words.balance(), 0);
    EXPECT_EQ(stackless::runcount(), 1u);
  }
};

using shapes = testing::Types<talkative<24>, talkative<500>>;
TYPED_TEST_SUITE(talkative_cargo, shapes);

static_assert(stackless::detail::cargo<talkative<24>>::fits);
static_assert(!stackless::detail::cargo<talkative<500>>::fits);

TYPED_TEST(talkative_cargo, of_a_killed_sender_may_wait_on_a_channel) {
  channel<TypeParam> c;
  tasklet sender([&] { c.send(TypeParam(42)); });
  run();
  sender.kill();
  EXPECT_EQ(c.balance(), 0);
  EXPECT_TRUE(sender.blocked());
  ASSERT_EQ(last_words.balance(), 1);
  EXPECT_EQ(last_words.receive(), 42);
  run();
  EXPECT_FALSE(sender.alive());
}

TYPED_TEST(talkative_cargo, of_a_receiver_killed_before_its_turn_may_wait_on_a_channel) {
  channel<TypeParam> c;
  c.preference(1);
  tasklet receiver([&] { c.receive(); });
  run();
  c.send(TypeParam(42));
  receiver.kill();
  ASSERT_EQ(last_words.balance(), 1);
  EXPECT_EQ(last_words.receive(), 42);
  run();
  EXPECT_FALSE(receiver.alive());
}

/// Throws from a move when it is told to, and counts the others.
struct reluctant {
  static inline bool refuses = false;
  static inline int moves = 0;

  explicit reluctant(int v) : value(v) {}
  reluctant(reluctant&& other) noexcept(false) : value(other.value) {
    if (std::exchange(refuses, false)) throw std::runtime_error("does not move");
    ++moves;
    other.value = -1;
  }

  int value;
};

TEST(reluctant_cargo, that_cannot_be_taken_stays_with_its_sender) {
  for (int preference : {-1, 0, 1}) {
    channel<reluctant> c;
    c.preference(preference);
    bool sent = false;
    tasklet sender([&] {
      c.send(reluctant(7));
      sent = true;
    });
    run();
    reluctant::refuses = true;
    EXPECT_THROW(c.receive(), std::runtime_error);
    EXPECT_TRUE(sender.blocked());
    EXPECT_EQ(c.balance(), 1);
    EXPECT_FALSE(sent);
    EXPECT_EQ(c.receive().value, 7);
    run();
    EXPECT_TRUE(sent);
  }
}

TEST(reluctant_cargo, is_moved_three_times_at_most) {
  for (int preference : {-1, 0, 1}) {
    for (bool sender_first : {true, false}) {
      channel<reluctant> c;
      c.preference(preference);
      reluctant::moves = 0;
      int got = 0;
      const auto sends = [&] { c.send(reluctant(5)); };
      if (sender_first) tasklet{sends};
      tasklet{[&] {
        const reluctant value = c.receive();
        got = value.value;
      }};
      if (!sender_first) tasklet{sends};
      run();
      EXPECT_EQ(got, 5);
      EXPECT_LE(reluctant::moves, 3) << "into send, into the box, out of it";
    }
  }
}

}  // namespace
