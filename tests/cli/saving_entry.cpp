// `saving_entry FILE STATUS` saves entry itself, which then prints its arguments and returns STATUS. With
// OCCUPY set a tasklet is made before start().

#include <stackless/stackless.hpp>
#include <cstdio>
#include <cstdlib>
#include <optional>

int entry(int argc, char** argv) {
  stackless::tasklet([file = argv[1], me = stackless::current()] { stackless::dump(me, file); });
  stackless::schedule();
  for (int i = 1; i < argc; ++i) std::printf("<%s>\n", argv[i]);
  return std::atoi(argv[2]);
}

int main(int argc, char** argv) {
  std::optional<stackless::tasklet> occupant;
  if (std::getenv("OCCUPY") != nullptr) occupant = stackless::tasklet::bound([] {});
  return stackless::start(argc, argv, entry);
}
