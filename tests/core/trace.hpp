#pragma once

/// What the cases of the reference semantics are written with. The names are those of the reference.

#include <gtest/gtest.h>

#include <exception>
#include <sstream>
#include <stackless/channel.hpp>
#include <stackless/error.hpp>
#include <stackless/scheduler.hpp>
#include <stackless/tasklet.hpp>
#include <string>
#include <utility>
#include <vector>

namespace {

using stackless::channel;
using stackless::current;
using stackless::main_tasklet;
using stackless::run;
using stackless::runcount;
using stackless::schedule;
using stackless::schedule_remove;
using stackless::tasklet;
using stackless::TaskletExit;

using lines = std::vector<std::string>;
lines trace;

template <class First, class... More>
void out(const First& first, const More&... more) {
  std::ostringstream line;
  line << std::boolalpha << first;
  ((line << ' ' << more), ...);
  trace.push_back(line.str());
}

template <class F, class... Args>
tasklet spawn(F&& f, Args&&... args) {
  return tasklet(std::forward<F>(f), std::forward<Args>(args)...);
}

/// A tasklet that writes one line.
inline tasklet spawn_out(std::string line) {
  return spawn([](const std::string& text) { out(text); }, std::move(line));
}

inline const char* st(const tasklet& t) {
  if (t == current()) return "current";
  if (!t.alive()) return "dead";
  if (t.blocked()) return "blocked";
  return t.scheduled() ? "scheduled" : "paused";
}

/// The kind of what `f` throws and its text, up to the advice that the library adds after the last colon.
template <class F>
std::string err(F f) {
  const auto text = [](const char* kind, const std::exception& e) {
    const std::string what = e.what();
    return kind + what.substr(0, what.rfind(": "));
  };
  try {
    f();
  } catch (const stackless::deadlock_error& e) {
    return text("deadlock_error: ", e);
  } catch (const stackless::state_error& e) {
    return text("state_error: ", e);
  } catch (const stackless::closed_error& e) {
    return text("closed_error: ", e);
  } catch (const stackless::trap_error& e) {
    return text("trap_error: ", e);
  } catch (const std::exception& e) {
    return text("error: ", e);
  } catch (const TaskletExit&) {
    return "TaskletExit";
  }
  return "returned";
}

/// Writes a line when it goes out of scope: the `finally` of the reference.
struct finally {
  const char* line;
  ~finally() { out(line); }
};

/// A tasklet that pauses at once, and writes "cleanup" when it ends, whatever way it does.
inline tasklet paused_with_cleanup() {
  tasklet t([] {
    finally f{"cleanup"};
    schedule_remove();
  });
  t.run();
  return t;
}

/// Each case begins and ends with main alone.
class semantics_case : public testing::Test {
 protected:
  void SetUp() override { trace.clear(); }
  void TearDown() override {
    EXPECT_EQ(runcount(), 1u);
    EXPECT_EQ(current(), main_tasklet());
  }
};

}  // namespace
