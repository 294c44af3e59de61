#pragma once

/// Whole files in and out. Failures are snapshot_error{io} that name the path and what the kernel said.

#include <cstddef>
#include <memory_resource>
#include <span>
#include <stackless/snapshot_error.hpp>
#include <string>
#include <string_view>
#include <vector>

STACKLESS_BEGIN
namespace snapshot {

/// The bytes of a regular file.
std::pmr::vector<std::byte> read_file(const std::string& path);

/// The same, of a file that nobody but its owner may read or write.
std::pmr::vector<std::byte> read_private_file(const std::string& path);

/// What is left to read from a descriptor of any kind. `name` is for messages.
std::pmr::vector<std::byte> read_fd(int fd, std::string_view name);

/// Puts `bytes` in place of the file: at every moment, and after a crash, the path leads to all of the old
/// bytes or all of the new. They are on the disk when this returns. The file can be read and written by its
/// owner only, since it holds what was in memory. A symbolic link is replaced, not followed. Who is killed
/// while writing leaves a file named .stackless-XXXXXX in the folder.
void write_file(const std::string& path, std::span<const std::byte> bytes);

/// The same where no file is yet; one that is there stays.
void write_new_file(const std::string& path, std::span<const std::byte> bytes);

}  // namespace snapshot
STACKLESS_END
