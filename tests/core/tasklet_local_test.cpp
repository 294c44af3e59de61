// Values that each tasklet has of its own.

#include <array>
#include <memory>
#include <optional>
#include <stackless/tasklet_local.hpp>
#include <string>

#include "tests/core/trace.hpp"

namespace {

using stackless::tasklet_local;

class locals : public semantics_case {};

TEST_F(locals, each_tasklet_has_its_own) {
  tasklet_local<int> n(0);
  for (int i = 1; i <= 3; ++i) {
    spawn([&n, i] {
      *n = i;
      schedule();
      out(i, *n);
    });
  }
  run();
  out("main", *n);
  EXPECT_EQ(trace, (lines{"1 1", "2 2", "3 3", "main 0"}));
}

TEST_F(locals, begin_with_the_initial_value) {
  tasklet_local<std::string> text("initial");
  tasklet_local<int> zero;
  spawn([&] { out(*text, text->size(), *zero); });
  run();
  EXPECT_EQ(trace, lines{"initial 7 0"});
}

TEST_F(locals, new_tasklet_begins_with_copies_of_its_makers) {
  tasklet_local<std::vector<int>> v;
  v->push_back(1);
  spawn([&] {
    v->push_back(2);
    spawn([&] {
      v->push_back(3);
      out("child", v->size());
    });
    v->push_back(4);
    schedule();
    out("parent", v->size());
  });
  v->clear();
  run();
  out("main", v->size());
  EXPECT_EQ(trace, (lines{"child 3", "parent 3", "main 0"}));
}

TEST_F(locals, copies_are_of_the_one_that_sets_it_up) {
  tasklet_local<int> n(0);
  *n = 1;
  tasklet t;
  t.bind([&] { out(*n); });
  *n = 2;
  t.setup();
  *n = 3;
  run();
  EXPECT_EQ(trace, lines{"2"});
}

TEST_F(locals, copies_are_fresh_when_a_tasklet_is_used_again) {
  tasklet_local<int> n(0);
  tasklet t = spawn([&] { *n = 5; });
  run();
  *n = 9;
  t.bind([&] { out(*n); }).setup();
  run();
  EXPECT_EQ(trace, lines{"9"});
}

TEST_F(locals, are_destroyed_with_their_tasklet) {
  tasklet_local<std::shared_ptr<int>> p;
  auto value = std::make_shared<int>(1);
  spawn([&] { *p = value; });
  run();
  spawn([] {});  // what ended last is reclaimed by the next
  run();
  EXPECT_EQ(value.use_count(), 1);
}

TEST_F(locals, are_destroyed_when_their_tasklet_ends_though_somebody_has_a_handle) {
  tasklet_local<std::shared_ptr<int>> p;
  auto value = std::make_shared<int>(1);
  tasklet t = spawn([&] { *p = value; });
  run();
  spawn([] {});
  run();
  EXPECT_EQ(value.use_count(), 1);
  EXPECT_FALSE(t.alive());
}

TEST_F(locals, are_destroyed_with_a_tasklet_that_is_killed) {
  tasklet_local<std::shared_ptr<int>> p;
  auto value = std::make_shared<int>(1);
  {
    tasklet t = spawn([&] {
      *p = value;
      schedule_remove();
    });
    run();
    EXPECT_EQ(value.use_count(), 2);
  }
  spawn([] {});
  run();
  EXPECT_EQ(value.use_count(), 1);
}

TEST_F(locals, references_to_them_stay_good_when_others_are_made) {
  std::array<tasklet_local<int>, 64> many;
  int& first = *many[0];
  for (auto& n : many) *n += 1;
  current().tempval(std::string("another"));
  first = 7;
  EXPECT_EQ(*many[0], 7);
  EXPECT_EQ(current().take_tempval<std::string>(), "another");
}

TEST_F(locals, values_of_two_can_be_used_in_one_expression) {
  spawn([] {
    tasklet_local<int> a(1), b(2);
    *a = *b;
    out(*a, *b);
  });
  run();
  EXPECT_EQ(trace, lines{"2 2"});
}

TEST_F(locals, one_made_where_another_was_begins_anew) {
  std::optional<tasklet_local<int>> n;
  n.emplace(1);
  **n = 5;
  n.emplace(2);
  out(**n);
  EXPECT_EQ(trace, lines{"2"});
}

TEST_F(locals, two_tasklets_do_not_share_what_the_first_use_makes) {
  tasklet_local<std::string> text("x");
  spawn([&] { *text += "a"; });
  spawn([&] {
    *text += "b";
    out(*text);
  });
  run();
  out(*text);
  EXPECT_EQ(trace, (lines{"xb", "x"}));
}

}  // namespace
