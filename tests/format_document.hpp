#pragma once

/// What serialize/FORMAT.md shows.

#include <gtest/gtest.h>

#include <cstddef>
#include <fstream>
#include <iterator>
#include <sstream>
#include <string>
#include <vector>

inline std::string format_document() {
  const std::string here = __FILE__;
  std::ifstream file(here.substr(0, here.rfind("tests/")) + "serialize/FORMAT.md");
  return {std::istreambuf_iterator<char>(file), {}};
}

/// The bytes of the lines `0028  8b 53 4c   what it is` that stand behind the line `begin`.
inline std::vector<std::byte> hexdump_in_document(const std::string& begin) {
  std::istringstream document(format_document());
  std::string line;
  while (std::getline(document, line) && line != begin) {
  }
  EXPECT_TRUE(document) << "FORMAT.md has no " << begin;
  std::vector<std::byte> found;
  while (std::getline(document, line) && line != "```") {
    std::istringstream words(line.substr(0, line.find("   ")));
    std::string word;
    words >> word;
    EXPECT_EQ(std::stoul(word, nullptr, 16), found.size()) << line;
    while (words >> word) found.push_back(static_cast<std::byte>(std::stoul(word, nullptr, 16)));
  }
  return found;
}
