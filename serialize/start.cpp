#include <stackless/start.hpp>

#include <sys/prctl.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory_resource>
#include <new>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <stackless/heap.hpp>
#include <stackless/scheduler.hpp>
#include <stackless/snapshot_error.hpp>
#include <stackless/tasklet.hpp>

#include "serialize/exit_status.hpp"
#include "serialize/file.hpp"
#include "serialize/handover.hpp"
#include "serialize/reader.hpp"
#include "serialize/restore.hpp"

// The note of handover.hpp. It comes with start(): a program that does not call it does not carry the note.
asm(R"(
  .pushsection .note.stackless, "a", %note
  .balign 4
  .long 10, 4, 1
  .asciz "stackless"
  .balign 4
  .long 1
  .popsection
)");
static_assert(sizeof stackless::snapshot::handover::note_owner == 10 &&
              stackless::snapshot::handover::note_type == 1 && stackless::snapshot::handover::version == 1);

STACKLESS_BEGIN

namespace {

/// Of `entry`. A variable of the program, so that a tasklet that came back in another process finds it there.
int result = 0;

/// argv in the picklable heap: main's stack is never carried.
class arguments {
 public:
  arguments(int count, char** given) {
    for (int i = 0; i != count; ++i)
      text_.insert(text_.end(), given[i], given[i] + std::strlen(given[i]) + 1);
    char* next = text_.data();
    for (int i = 0; i != count; ++i) {
      pointers_.push_back(next);
      next += std::strlen(next) + 1;
    }
    pointers_.push_back(nullptr);
  }

  int count() const { return static_cast<int>(pointers_.size()) - 1; }
  char** get() { return pointers_.data(); }

 private:
  std::pmr::vector<char> text_{heap::memory_resource()};
  std::pmr::vector<char*> pointers_{heap::memory_resource()};
};

void run_entry(int (*entry)(int, char**), arguments given) {
  result = entry(given.count(), given.get());
}

// Nothing of this allocates in the picklable heap: it might be where the snapshot has to come back to.
tasklet handed_over(std::string_view description) {
  const std::size_t colon = description.find(':');
  int fd = -1;
  const auto [end, error] = std::from_chars(description.data(), description.data() + description.size(), fd);
  if (error != std::errc() || colon == description.npos || end != description.data() + colon) {
    snapshot_error::details about;
    about.reason = std::string(snapshot::handover::variable) + " is not a descriptor, a colon and a name";
    throw snapshot_error(snapshot_error::kind::io, std::move(about));
  }
  const std::string_view file = description.substr(colon + 1);
  const auto bytes = snapshot::read_fd(fd, file);
  ::close(fd);
  return snapshot::restore(snapshot::read(bytes, file), file);
}

[[noreturn]] void refuse(const char* why, int status) {
  std::fprintf(stderr, "stackless: error: %s\n", why);
  std::exit(status);
}

tasklet handed_over_or_exit(std::string_view description) {
  try {
    return handed_over(description);
  } catch (const snapshot_error& e) {
    refuse(e.what(), snapshot::exit_status(e.reason()));
  } catch (const std::bad_alloc& e) {
    refuse(e.what(), EXIT_FAILURE);
  }
}

}  // namespace

int start(int argc, char** argv, int (*entry)(int argc, char** argv)) {
  const char* const resumed = std::getenv(snapshot::handover::variable);
  if (resumed == nullptr) {
    const tasklet first(run_entry, entry, arguments(argc, argv));
    run();
    return result;
  }

  // What it said stays where it is: exec put it there.
  ::unsetenv(snapshot::handover::variable);
  // A program that was executed through a descriptor is called by its number otherwise.
  ::prctl(PR_SET_NAME, program_invocation_short_name);
  tasklet first = handed_over_or_exit(resumed);
  if (first.paused()) first.insert();
  run();
  return result;
}

STACKLESS_END
