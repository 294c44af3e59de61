#include <stackless/stackless.hpp>
#include <cstdio>

stackless::channel<const char*> ch;

void recurs(int depth, int level = 1) {
  std::printf("enter level %*s%d\n", 2 * level, "", level);
  if (level >= depth) ch.send("hi");
  if (level < depth) recurs(depth, level + 1);
  std::printf("leave level %*s%d\n", 2 * level, "", level);
}

void demo(int depth) {
  stackless::tasklet t(recurs, depth, 1);
  std::puts(ch.receive());
  stackless::dump(t, "tasklet.pickle");
}

int main(int argc, char** argv) {
  if (argc > 1) stackless::load(argv[1]).insert();
  else stackless::tasklet(demo, 9);
  stackless::run();
}
