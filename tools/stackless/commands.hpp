#pragma once

/// The commands, their options taken apart. A failure is an exception: see main.cpp for the exit statuses.

#include <string>
#include <string_view>
#include <vector>

namespace cli {

/// Becomes the program. `command` is its name and its arguments.
[[noreturn]] void run(const std::vector<std::string>& command);

/// Becomes the program of the snapshot, or the one at `program` unless that is empty.
[[noreturn]] void resume(const std::string& file, const std::string& program);

/// What is in the snapshot, as text. What is only of interest to whoever sits there goes to stderr.
std::string inspect(const std::string& file);

/// The same as one JSON object, which `stackless help inspect` describes.
std::string inspect_as_json(const std::string& file);

/// The help of a command, or for "" of all; empty if there is no such command.
std::string_view help(std::string_view command);

}  // namespace cli
