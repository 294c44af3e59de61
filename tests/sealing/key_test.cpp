#include <fcntl.h>
#include <sys/stat.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "tests/sealing/sealing.hpp"

namespace {

using namespace sealing;
using stackless::key;

class keys : public with_files {
 protected:
  /// A file that would be a key if it were not for its length or its permissions.
  std::string file(std::size_t size, mode_t permissions) const {
    const std::string path = at("a.key");
    write(path, bytes(size, std::byte{1}));
    EXPECT_EQ(chmod(path.c_str(), permissions), 0);
    return path;
  }
};

TEST_F(keys, are_all_different) {
  EXPECT_NE(bytes_of(key::random()), bytes_of(key::random()));
}

TEST_F(keys, what_is_saved_is_loaded) {
  const key k = key::random();
  k.save(at("a.key"));
  EXPECT_EQ(bytes_of(key::load(at("a.key"))), bytes_of(k));
  EXPECT_EQ(contents(at("a.key")), bytes_of(k));
  struct stat about;
  ASSERT_EQ(stat(at("a.key").c_str(), &about), 0);
  EXPECT_EQ(about.st_mode & 0777, 0600u);
  EXPECT_EQ(about.st_nlink, 1u);
}

TEST_F(keys, a_key_that_is_there_is_not_lost) {
  const key first = key::random();
  first.save(at("a.key"));
  const auto error = error_of([&] { key::random().save(at("a.key")); });
  EXPECT_EQ(error.reason(), kind::io);
  EXPECT_EQ(error.about().file, at("a.key"));
  EXPECT_NE(error.about().reason.find("File exists"), std::string::npos) << error.what();
  EXPECT_EQ(bytes_of(key::load(at("a.key"))), bytes_of(first));
}

TEST_F(keys, a_link_that_leads_nowhere_is_not_replaced) {
  ASSERT_EQ(symlink("nowhere", at("a.key").c_str()), 0);
  EXPECT_EQ(error_of([&] { key::random().save(at("a.key")); }).reason(), kind::io);
  EXPECT_EQ(entries(), std::vector<std::string>{"a.key"});
}

TEST_F(keys, of_a_wrong_length_are_refused) {
  for (std::size_t size : {0u, 1u, 31u, 33u, 100'000u}) {
    const auto error = error_of([&] { key::load(file(size, 0600)); });
    EXPECT_EQ(error.reason(), kind::damaged);
    EXPECT_EQ(error.about().reason, "not a key: it has " + std::to_string(size) + " bytes, a key has 32");
  }
}

TEST_F(keys, that_others_may_read_or_write_are_refused) {
  for (mode_t permissions : {0640, 0620, 0604, 0602, 0644, 0666}) {
    const auto error = error_of([&] { key::load(file(32, permissions)); });
    EXPECT_EQ(error.reason(), kind::io);
    EXPECT_EQ(error.about().reason, "others than its owner may read or write it");
    EXPECT_EQ(error.about().hint, "chmod 600 " + at("a.key"));
  }
  EXPECT_NO_THROW(key::load(file(32, 0600)));
  EXPECT_NO_THROW(key::load(file(32, 0400)));
}

TEST_F(keys, that_are_no_file_are_refused) {
  for (const std::string& path : {at("missing"), at("."), std::string("/dev/null"), std::string()}) {
    const auto error = error_of([&] { key::load(path); });
    EXPECT_EQ(error.reason(), kind::io);
    EXPECT_EQ(error.about().file, path);
  }
}

TEST_F(keys, that_cannot_be_saved_leave_nothing) {
  EXPECT_EQ(error_of([&] { key::random().save(at("missing/a.key")); }).reason(), kind::io);
  EXPECT_EQ(error_of([&] { key::random().save(at(".")); }).reason(), kind::io);
  EXPECT_EQ(entries(), std::vector<std::string>{});
}

TEST_F(keys, a_copy_outlives_the_original) {
  auto original = std::make_unique<key>(counting());
  key copy = key::random();
  copy = *original;
  key moved = std::move(*original);
  EXPECT_EQ(bytes_of(*original), bytes_of(moved)) << "a key without bytes";
  original.reset();
  EXPECT_EQ(bytes_of(copy), bytes_of(counting()));
}

}  // namespace
