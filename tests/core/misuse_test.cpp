// Wrong uses: each is an exception of its own type with a text that says what to do, and changes nothing.

#include <functional>
#include <initializer_list>
#include <memory>
#include <type_traits>

#include "tests/core/trace.hpp"

namespace {

class misuse : public semantics_case {};

/// The text of the `E` that `f` must throw.
template <class E, class F>
std::string text_of(F f) {
  static_assert(std::is_base_of_v<stackless::error, E>);
  try {
    f();
  } catch (const stackless::error& e) {
    EXPECT_NE(dynamic_cast<const E*>(&e), nullptr) << "another type of error: " << e.what();
    return e.what();
  } catch (...) {
    ADD_FAILURE() << "no error of the library";
    return "";
  }
  ADD_FAILURE() << "nothing was thrown";
  return "";
}

/// Long enough to say more than a name.
constexpr std::size_t a_sentence = 40;

TEST_F(misuse, send_and_receive_on_a_closed_channel) {
  channel<int> c;
  c.close();
  spawn_out("other");
  for (const std::function<void()>& wrong :
       {std::function<void()>([&] { c.send(1); }), std::function<void()>([&] { c.receive(); })}) {
    EXPECT_GT(text_of<stackless::closed_error>(wrong).size(), a_sentence);
    EXPECT_EQ(c.balance(), 0);
    EXPECT_EQ(runcount(), 2u);
  }
  EXPECT_EQ(trace, lines{});
  run();
}

TEST_F(misuse, throwing_a_null_exception) {
  channel<int> c;
  tasklet t = spawn([&] { out("got", c.receive()); });
  run();
  for (const std::function<void()>& wrong : {std::function<void()>([&] { t.throw_exception(nullptr); }),
                                             std::function<void()>([&] { c.send_throw(nullptr); })}) {
    EXPECT_GT(text_of<stackless::error>(wrong).size(), a_sentence);
    EXPECT_TRUE(t.blocked());
    EXPECT_EQ(c.balance(), -1);
  }
  c.send(1);
}

TEST_F(misuse, of_a_blocked_tasklet) {
  channel<int> c;
  tasklet t = spawn([&] { out("got", c.receive()); });
  run();
  for (const std::function<void()>& wrong : std::initializer_list<std::function<void()>>{
           [&] { t.insert(); }, [&] { t.remove(); }, [&] { t.run(); }, [&] { t.switch_to(); },
           [&] { t.unbind(); }, [&] { t.bind([] {}); }, [&] { t.arm(); }, [&] { t.setup(); }}) {
    EXPECT_GT(text_of<stackless::state_error>(wrong).size(), a_sentence);
    EXPECT_TRUE(t.blocked());
    EXPECT_EQ(c.balance(), -1);
    EXPECT_EQ(runcount(), 1u);
  }
  c.send(1);
  EXPECT_EQ(trace, lines{"got 1"});
}

TEST_F(misuse, of_a_dead_tasklet) {
  tasklet t = spawn([] {});
  run();
  for (const std::function<void()>& wrong : std::initializer_list<std::function<void()>>{
           [&] { t.insert(); }, [&] { t.run(); }, [&] { t.switch_to(); }, [&] { t.arm(); },
           [&] { t.setup(); }, [&] { t.raise(1); },
           [&] { t.throw_exception(std::make_exception_ptr(1), stackless::when::pending); }}) {
    EXPECT_GT(text_of<stackless::state_error>(wrong).size(), a_sentence);
    EXPECT_FALSE(t.alive());
    EXPECT_EQ(runcount(), 1u);
  }
  t.kill();
  t.remove();
  t.join();
  EXPECT_FALSE(t.alive());
}

TEST_F(misuse, of_the_current_tasklet) {
  for (const std::function<void()>& wrong : std::initializer_list<std::function<void()>>{
           [] { current().remove(); }, [] { current().unbind(); }, [] { current().bind([] {}); },
           [] { current().join(); }, [] { current().setup(); }}) {
    EXPECT_GT(text_of<stackless::state_error>(wrong).size(), a_sentence);
    EXPECT_TRUE(current().is_main());
    EXPECT_EQ(runcount(), 1u);
  }
}

TEST_F(misuse, last_tasklet_blocks) {
  channel<int> c;
  tasklet p = tasklet::bound([] {});
  for (const std::function<void()>& wrong : std::initializer_list<std::function<void()>>{
           [&] { c.send(1); }, [&] { c.receive(); }, [&] { c.send_exception(1); }, [&] { p.join(); }}) {
    EXPECT_GT(text_of<stackless::deadlock_error>(wrong).size(), a_sentence);
    EXPECT_EQ(c.balance(), 0);
    EXPECT_EQ(runcount(), 1u);
  }
}

TEST_F(misuse, a_value_that_could_not_be_sent_is_destroyed_once) {
  auto shared = std::make_shared<int>(1);
  channel<std::shared_ptr<int>> c;
  text_of<stackless::deadlock_error>([&] { c.send(shared); });
  EXPECT_EQ(shared.use_count(), 1);
}

}  // namespace
