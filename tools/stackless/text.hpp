#pragma once

#include <string>
#include <string_view>

namespace cli {

/// printf into a string.
[[gnu::format(printf, 1, 2)]] std::string text(const char* format, ...);

/// Names come from files; whatever is in them, a terminal is not to obey it and a line is to stay one.
std::string printable(std::string_view name);

}  // namespace cli
