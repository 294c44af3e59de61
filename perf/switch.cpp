// The bare switch between two stacks, there and back.

#include <cstddef>
#include <memory>
#include <stackless/switch.hpp>

#include "peers.hpp"
#include "row.hpp"

namespace {

using stackless::arch::context;

[[gnu::noinline]] void called(long& count) {
  ++count;
  asm volatile("" ::: "memory");
}

void call_and_return(benchmark::State& state) {
  long count = 0, expected = 0;
  for (auto _ : state) {
    called(count);
    ++expected;
  }
  perf::finish(state, 1, count == expected);
}
BENCHMARK(call_and_return)->Name(perf::call_row);

/// Two flows of control that switch to one another by `Way`, which is inlined.
template <class Way>
class pair_of {
 public:
  pair_of() : stack_(std::make_unique<std::byte[]>(size)) {
    auto* const top = stack_.get() + size - reinterpret_cast<std::uintptr_t>(stack_.get()) % 16;
    partner_.there = stackless::arch::fresh_context(top, run);
  }

  [[gnu::always_inline]] void resume() { Way()(&partner_.here, &partner_.there); }
  long count() const { return partner_.count; }

 private:
  struct partner {
    context there{};  // first: its address is handed to `run`
    context here{};
    long count = 0;
  };

  static constexpr std::size_t size = std::size_t{64} << 10;

  static void run(context* self) {
    auto* p = reinterpret_cast<partner*>(self);
    for (;;) {
      ++p->count;
      p = reinterpret_cast<partner*>(Way()(&p->there, &p->here));
    }
  }

  std::unique_ptr<std::byte[]> stack_;
  partner partner_;
};

struct in_line {
  [[gnu::always_inline]] context* operator()(context* from, context* to) const {
    return stackless::arch::switch_to(from, to);
  }
};
struct out_of_line {
  [[gnu::always_inline]] context* operator()(context* from, context* to) const {
    return stackless::arch::switch_out_of_line(from, to);
  }
};

template <class Way>
void ping_pong(benchmark::State& state) {
  pair_of<Way> p;
  long expected = 0;
  for (auto _ : state) {
    p.resume();
    ++expected;
  }
  perf::finish(state, 2, p.count() == expected);
}
BENCHMARK(ping_pong<in_line>)->Name("switch/inline");
BENCHMARK(ping_pong<out_of_line>)->Name("switch/out of line");

#if defined(STACKLESS_PERF_FCONTEXT)
void fcontext(benchmark::State& state) {
  perf::fcontext_partner p;
  long expected = 0;
  for (auto _ : state) {
    p.resume();
    ++expected;
  }
  perf::finish(state, 2, p.count() == expected);
}
BENCHMARK(fcontext)->Name(perf::fcontext_row);
#endif

// Each switch is made three calls deep. A return address that the CPU does not expect costs more than a
// switch.
template <class F>
[[gnu::noinline]] void deeper(F& f, int levels) {
  if (levels > 1) {
    deeper(f, levels - 1);
  } else {
    f();
  }
  asm volatile("" ::: "memory");
}

void nested_inline(benchmark::State& state) {
  pair_of<in_line> p;
  long expected = 0;
  auto resume = [&] { p.resume(); };
  for (auto _ : state) {
    deeper(resume, 3);
    ++expected;
  }
  perf::finish(state, 2, p.count() == expected);
}
BENCHMARK(nested_inline)->Name("switch/3 calls deep, inline");

#if defined(STACKLESS_PERF_FCONTEXT)
void nested_fcontext(benchmark::State& state) {
  perf::fcontext_partner p;
  long expected = 0;
  auto resume = [&] { p.resume(); };
  for (auto _ : state) {
    deeper(resume, 3);
    ++expected;
  }
  perf::finish(state, 2, p.count() == expected);
}
BENCHMARK(nested_fcontext)->Name("switch/3 calls deep, fcontext");
#endif

}  // namespace
