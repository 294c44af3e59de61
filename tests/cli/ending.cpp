// Ends as it is told: `ending status 7`, `ending signal 15`; else it prints its arguments. It never calls
// start().

#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <string_view>

int main(int argc, char** argv) {
  const std::string_view way = argc > 2 ? argv[1] : "";
  if (way == "status") return std::atoi(argv[2]);
  if (way == "signal") std::raise(std::atoi(argv[2]));
  for (int i = 1; i < argc; ++i) std::printf("<%s>\n", argv[i]);
}
