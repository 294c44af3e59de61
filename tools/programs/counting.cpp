// Counts, and half-way saves the tasklet that counts. That one can be resumed as often as one likes:
//
//   $ counting 4 counting.snap
//   1
//   1 2
//   1 2 3
//   1 2 3 4
//   $ stackless resume counting.snap
//   1 2 3
//   1 2 3 4

#include <stackless/stackless.hpp>
#include <cstdio>
#include <cstdlib>
#include <string>

void count(int last) {
  std::string line = "1";
  for (int i = 2; i <= last; ++i) {
    std::puts(line.c_str());
    stackless::schedule();
    line += ' ' + std::to_string(i);
  }
  std::puts(line.c_str());
}

int entry(int argc, char** argv) {
  const int last = argc == 3 ? std::atoi(argv[1]) : 0;
  if (last < 2) {
    std::fputs("usage: counting LAST FILE\n", stderr);
    return 2;
  }
  stackless::tasklet counter(count, last);
  for (int i = 0; i != last / 2; ++i) stackless::schedule();
  stackless::dump(counter, argv[2]);
  return 0;
}

int main(int argc, char** argv) {
  return stackless::start(argc, argv, entry);
}
