#include <sys/resource.h>

#include <algorithm>
#include <csignal>
#include <cstdio>
#include <memory>
#include <stackless/stackless.hpp>
#include <stdexcept>
#include <string>

#include "tests/sealing/sealing.hpp"
#include "tests/serialize/from_child.hpp"

namespace {

using namespace sealing;
using stackless::key;
using stackless::tasklet;

std::string trace;

class sealed_snapshots : public with_files {
 protected:
  void SetUp() override {
    with_files::SetUp();
    trace.clear();
  }

  void TearDown() override {
    EXPECT_EQ(stackless::runcount(), 1u);
    with_files::TearDown();
  }
};

tasklet halfway() {
  tasklet t([] {
    const std::string kept = "what was kept, in a string that is not small";
    stackless::schedule_remove();
    trace += kept;
  });
  stackless::run();
  return t;
}

void expect_to_go_on(tasklet t) {
  EXPECT_TRUE(t.paused());
  t.insert();
  stackless::run();
  EXPECT_EQ(trace, "what was kept, in a string that is not small");
}

TEST_F(sealed_snapshots, come_back_from_memory) {
  expect_to_go_on(
      stackless::loads(bytes_from_child([] { return stackless::dumps(halfway(), counting()); }), counting()));
}

TEST_F(sealed_snapshots, come_back_from_a_file) {
  const std::string path = at("a.snap");
  bytes_from_child([&] {
    stackless::dump(halfway(), path, counting());
    return bytes();
  });
  EXPECT_EQ(entries(), std::vector<std::string>{"a.snap"});
  expect_to_go_on(stackless::load(path, counting()));
}

TEST_F(sealed_snapshots, are_the_snapshot_and_nothing_else) {
  const bytes sealed = bytes_from_child([] { return stackless::dumps(halfway(), counting()); });
  expect_to_go_on(stackless::loads(stackless::unseal(sealed, counting())));
}

TEST_F(sealed_snapshots, are_not_read_without_a_key) {
  write(at("a.snap"), stackless::seal(text("whatever it is"), counting()));
  const bytes sealed = contents(at("a.snap"));
  for (const auto& error :
       {error_of([&] { stackless::load(at("a.snap")); }), error_of([&] { stackless::loads(sealed); })}) {
    EXPECT_EQ(error.reason(), kind::sealed);
    EXPECT_EQ(error.about().reason, "sealed: give the key to read it");
    EXPECT_FALSE(error.about().hint.empty());
  }
}

TEST_F(sealed_snapshots, are_insisted_on_with_a_key) {
  const bytes plain = saved_in_child(halfway);
  write(at("a.snap"), plain);
  write(at("empty"), {});
  for (const char* name : {"a.snap", "empty"}) {
    const auto error = error_of([&] { stackless::load(at(name), counting()); });
    EXPECT_EQ(error.reason(), kind::not_sealed);
    EXPECT_EQ(error.about().file, at(name));
  }
  EXPECT_EQ(error_of([&] { stackless::loads(plain, counting()); }).reason(), kind::not_sealed);
  EXPECT_EQ(error_of([&] { stackless::loads({}, counting()); }).reason(), kind::not_sealed);
  expect_to_go_on(stackless::loads(plain));
}

/// What is wrong with a sealed text, which is no snapshot, is only seen by who can unseal it.
TEST_F(sealed_snapshots, are_not_looked_into_before_they_are_authenticated) {
  bytes sealed = stackless::seal(text("no snapshot at all"), counting());
  const auto error = [&] { return error_of([&] { stackless::loads(sealed, counting()); }).about().reason; };
  EXPECT_EQ(error(), "not a snapshot");
  sealed.back() ^= std::byte{1};
  EXPECT_EQ(error(), "authentication failed: this is not what was sealed with the key");
}

TEST_F(sealed_snapshots, of_a_snapshot_that_is_damaged_in_itself_are_refused) {
  bytes plain = saved_in_child(halfway);
  plain[plain.size() / 2] ^= std::byte{1};
  const auto error = error_of([&] { stackless::loads(stackless::seal(plain, counting()), counting()); });
  EXPECT_EQ(error.reason(), kind::damaged);
  EXPECT_EQ(error.about().reason, "checksum mismatch");
}

TEST_F(sealed_snapshots, sealed_twice_is_not_a_snapshot) {
  const bytes twice = stackless::seal(stackless::seal(text("content"), counting()), counting());
  EXPECT_EQ(error_of([&] { stackless::loads(twice, counting()); }).reason(), kind::sealed);
}

TEST_F(sealed_snapshots, wrong_key_names_the_file) {
  write(at("a.snap"), stackless::seal(text("content"), key::random()));
  const auto error = error_of([&] { stackless::load(at("a.snap"), counting()); });
  EXPECT_EQ(error.reason(), kind::wrong_key);
  EXPECT_EQ(error.about().file, at("a.snap"));
}

TEST_F(sealed_snapshots, a_dump_that_fails_leaves_the_old_file) {
  write(at("a.snap"), text("old"));
  output_of_child([&](int) {
    // Half of it can be written.
    signal(SIGXFSZ, SIG_IGN);
    const tasklet t = halfway();
    const rlimit half{stackless::dumps(t).size() / 2, RLIM_INFINITY};
    setrlimit(RLIMIT_FSIZE, &half);
    if (error_of([&] { stackless::dump(t, at("a.snap"), counting()); }).reason() != kind::io)
      throw std::runtime_error("was written");
  });
  EXPECT_EQ(entries(), std::vector<std::string>{"a.snap"});
  EXPECT_EQ(contents(at("a.snap")), text("old"));
}

TEST_F(sealed_snapshots, a_tasklet_that_cannot_be_saved_leaves_no_file) {
  output_of_child([&](int) {
    tasklet t([file = std::shared_ptr<FILE>(tmpfile(), fclose)] { stackless::schedule_remove(); });
    stackless::run();
    const auto error = error_of([&] { stackless::dump(t, at("a.snap"), counting()); });
    if (error.reason() != kind::not_restorable || error.about().file != at("a.snap"))
      throw std::runtime_error(error.what());
  });
  EXPECT_EQ(entries(), std::vector<std::string>{});
}

/// The tasklet holds a key: it may be refused, but its snapshot never shows the key.
TEST_F(sealed_snapshots, a_key_in_a_tasklet_stays_out_of_its_snapshot) {
  const bytes secret = bytes_of(counting());
  tasklet t([k = counting()] {
    const key copy = k;
    stackless::schedule_remove();
    trace += std::to_string(copy.bytes().size());
  });
  stackless::run();
  try {
    const bytes plain = stackless::dumps(t);
    EXPECT_EQ(std::search(plain.begin(), plain.end(), secret.begin(), secret.end()), plain.end());
  } catch (const stackless::snapshot_error& error) {
    EXPECT_EQ(error.reason(), kind::not_restorable);
  }
  t.insert();
  stackless::run();
  EXPECT_EQ(trace, "32");
}

}  // namespace
