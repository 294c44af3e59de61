// The persistence demo again, with frames that hold what C++ programs hold: strings, a map, a std::function, an object
// behind a base class, and a try block around the recursion. Without an argument it goes down, writes rich_frames.snap
// at the bottom and goes on; with that file it only comes up again. Either way it throws on the way up, into a catch
// block of a frame that was there before.

#include <stackless/stackless.hpp>
#include <cstdio>
#include <functional>
#include <map>
#include <memory>
#include <stdexcept>
#include <string>

namespace {

constexpr int depth = 9;
constexpr int rescued_at = 4;

stackless::channel<int> bottom;

struct figure {
  virtual ~figure() = default;
  virtual int area() const = 0;
};

struct square : figure {
  explicit square(int side) : side_(side) {}
  int area() const override { return side_ * side_; }
  int side_;
};

int explore(int level, const std::function<int(int)>& weigh) {
  const std::string name = "level " + std::to_string(level) + ", with a name too long for the small buffer";
  const std::map<int, std::string> notes{{level, name}, {level + 1, "below"}, {level - 1, "above"}};
  const std::unique_ptr<figure> held = std::make_unique<square>(level);
  std::printf("down: %s\n", name.c_str());
  int collected = 0;
  try {
    if (level == depth) {
      bottom.send(level);
      throw std::runtime_error("nothing at " + notes.at(level));
    }
    collected = explore(level + 1, [&weigh, level](int n) { return weigh(n) + level; });
  } catch (const std::runtime_error& e) {
    if (level != rescued_at) throw;
    std::printf("rescued: %s\n", e.what());
  }
  collected += held->area() + weigh(level);
  std::printf("up: %s, %s, %d\n", name.c_str(), notes.at(level + 1).c_str(), collected);
  return collected;
}

void expedition() {
  stackless::tasklet t([] { explore(1, [](int n) { return 100 * n; }); });
  std::printf("at level %d\n", bottom.receive());
  stackless::dump(t, "rich_frames.snap");
}

}  // namespace

int main(int argc, char** argv) {
  if (argc > 1) {
    stackless::load(argv[1]).insert();
  } else {
    stackless::tasklet{expedition};
  }
  stackless::run();
}
