#pragma once

/// A folder for a test's files, keys, and what is refused.

#include <dirent.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdlib>
#include <fstream>
#include <functional>
#include <iterator>
#include <span>
#include <stackless/sealing.hpp>
#include <string>
#include <string_view>
#include <vector>

namespace sealing {

using bytes = std::vector<std::byte>;
using kind = stackless::snapshot_error::kind;

inline bytes text(std::string_view letters) {
  const auto all = std::as_bytes(std::span(letters));
  return {all.begin(), all.end()};
}

inline bytes bytes_of(const stackless::key& k) {
  return {k.bytes().begin(), k.bytes().end()};
}

/// The key 00 01 02 ... 1f, of the hexdump in FORMAT.md.
inline stackless::key counting() {
  std::array<std::byte, stackless::key::size> all;
  for (std::size_t i = 0; i != all.size(); ++i) all[i] = static_cast<std::byte>(i);
  return stackless::key(all);
}

/// The error of `work`, which has to be one.
inline stackless::snapshot_error error_of(const std::function<void()>& work) {
  try {
    work();
  } catch (const stackless::snapshot_error& error) {
    return error;
  }
  ADD_FAILURE() << "accepted";
  return {kind::io, {}};
}

/// Of unsealing with that key.
inline stackless::snapshot_error error_of(const bytes& sealed, const stackless::key& k = counting()) {
  return error_of([&] { stackless::unseal(sealed, k); });
}

inline bytes contents(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  const std::string all{std::istreambuf_iterator<char>(file), {}};
  return text(all);
}

inline void write(const std::string& path, const bytes& what) {
  std::ofstream(path, std::ios::binary)
      .write(reinterpret_cast<const char*>(what.data()), static_cast<std::streamsize>(what.size()));
}

/// A test with a folder of its own, in which no part of a file may be left.
class with_files : public testing::Test {
 protected:
  void SetUp() override {
    folder_ = testing::TempDir() + "stackless-sealing-XXXXXX";
    ASSERT_NE(mkdtemp(folder_.data()), nullptr);
  }

  void TearDown() override {
    std::vector<std::string> left = entries();
    for (const std::string& name : left) unlink(at(name).c_str());
    rmdir(folder_.c_str());
    std::erase_if(left, [](const std::string& name) { return !name.starts_with(".stackless-"); });
    EXPECT_EQ(left, std::vector<std::string>{}) << "parts of files are left";
  }

  std::vector<std::string> entries() const {
    std::vector<std::string> names;
    DIR* directory = opendir(folder_.c_str());
    while (const dirent* entry = readdir(directory))
      if (std::string name = entry->d_name; name != "." && name != "..") names.push_back(name);
    closedir(directory);
    return names;
  }

  std::string at(const std::string& name) const { return folder_ + '/' + name; }

 private:
  std::string folder_;
};

}  // namespace sealing
