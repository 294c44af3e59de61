// Unwinders walk from any suspended flow of control, and from any instruction of a switch, to the trampoline
// that ends its stack. Linked with libunwind, which no other program of this project needs.

#define UNW_LOCAL_ONLY
#include "arch/unwind.hpp"

#include <gtest/gtest.h>
#include <libunwind.h>
#include <ucontext.h>
#include <unwind.h>

#include <cstdint>
#include <stackless/scheduler.hpp>
#include <stackless/switch.hpp>
#include <stackless/tasklet.hpp>
#include <vector>

#include "tests/arch/libunwind.hpp"

extern "C" {
void stackless_trampoline();
extern const char stackless_trampoline_end[];
}

namespace {

using stackless::arch::context;
using stackless::arch::fresh_context;
using stackless::arch::switch_out_of_line;
using stackless::arch::switch_to;
using addresses = std::vector<std::uintptr_t>;

bool in_trampoline(std::uintptr_t pc) {
  return pc > reinterpret_cast<std::uintptr_t>(&stackless_trampoline) &&
         pc <= reinterpret_cast<std::uintptr_t>(stackless_trampoline_end);
}

/// Two flows of control; the other one parks at the bottom of a recursion.
struct parked {
  alignas(64) unsigned char stack[std::size_t{256} << 10];
  context there, here{};
  int depth;
  bool inline_switch;

  explicit parked(int how_deep, bool in_line = true)
      : there(fresh_context(stack + sizeof stack, start)), depth(how_deep), inline_switch(in_line) {
    current = this;
  }

  void resume() { switch_to(&here, &there); }

  static inline parked* current;

 private:
  [[noreturn]] static context* start(context*) {
    parked& me = *current;
    for (;;) {
      me.recurse(me.depth);
    }
  }

  // What it does with its result keeps the compiler from making a loop of it.
  [[gnu::noinline]] int recurse(int levels) {
    volatile int here_too = levels;
    if (levels > 1) return recurse(levels - 1) + here_too;
    inline_switch ? switch_to(&there, &here) : switch_out_of_line(&there, &here);
    return here_too;
  }
};

addresses walked_with_libgcc(const context& c, bool& whole) {
  addresses found;
  whole = stackless::arch::walk(
      c, [](void* to, stackless::arch::frame f) { static_cast<addresses*>(to)->push_back(f.pc); }, &found);
  return found;
}

addresses frames_from(unw_cursor_t& cursor) {
  addresses found;
  do {
    unw_word_t pc = 0;
    unw_get_reg(&cursor, UNW_REG_IP, &pc);
    found.push_back(pc);
  } while (unw_step(&cursor) > 0);
  return found;
}

/// A cursor that knows the suspended words and nothing else. libunwind 1.6.2 goes astray on AArch64 where
/// return addresses are signed (-mbranch-protection=standard); libgcc's unwinder does not.
addresses walked_with_libunwind(const context& c) {
  ucontext_t registers = {};
#if defined(__x86_64__)
  registers.uc_mcontext.gregs[REG_RIP] = reinterpret_cast<greg_t>(c.pc);
  registers.uc_mcontext.gregs[REG_RSP] = reinterpret_cast<greg_t>(c.sp);
  registers.uc_mcontext.gregs[REG_RBP] = reinterpret_cast<greg_t>(c.fp);
  registers.uc_mcontext.gregs[REG_RBX] = reinterpret_cast<greg_t>(c.base);
#else
  registers.uc_mcontext.pc = reinterpret_cast<std::uintptr_t>(c.pc);
  registers.uc_mcontext.sp = reinterpret_cast<std::uintptr_t>(c.sp);
  registers.uc_mcontext.regs[29] = reinterpret_cast<std::uintptr_t>(c.fp);
  registers.uc_mcontext.regs[19] = reinterpret_cast<std::uintptr_t>(c.base);
#endif
  unw_cursor_t cursor;
  unw_init_local2(&cursor, reinterpret_cast<unw_context_t*>(&registers), UNW_INIT_SIGNAL_FRAME);
  return frames_from(cursor);
}

TEST(parked_stack, is_walked_to_the_trampoline_and_both_unwinders_agree) {
  for (const bool in_line : {true, false}) {
    addresses shallow;
    for (const int depth : {1, 9}) {
      parked p(depth, in_line);
      p.resume();
      bool whole = false;
      const addresses found = walked_with_libgcc(p.there, whole);
      EXPECT_TRUE(whole);
      EXPECT_EQ(found.front(), reinterpret_cast<std::uintptr_t>(p.there.pc));
      EXPECT_TRUE(in_trampoline(found.back()));
      EXPECT_TRUE(!libunwind_follows || walked_with_libunwind(p.there) == found);
      if (depth == 1) {
        shallow = found;
      } else {
        EXPECT_EQ(found.size(), shallow.size() + 8);
      }
    }
    EXPECT_GE(shallow.size(), in_line ? 3u : 4u) << "[out of line,] recursion, start, trampoline";
  }
}

TEST(parked_stack, that_never_ran_is_the_trampoline) {
  parked p(1);
  EXPECT_TRUE(stackless::arch::is_fresh(p.there));
  EXPECT_EQ(walked_with_libunwind(p.there),
            addresses{reinterpret_cast<std::uintptr_t>(&stackless_trampoline)});
  p.resume();
  EXPECT_FALSE(stackless::arch::is_fresh(p.there));
}

addresses running_frames() {
  addresses found;
  _Unwind_Backtrace(
      [](_Unwind_Context* at, void* to) {
        // The end of the stack is told as a frame at 0.
        if (_Unwind_GetIP(at) != 0) static_cast<addresses*>(to)->push_back(_Unwind_GetIP(at));
        return _URC_NO_REASON;
      },
      &found);
  return found;
}

TEST(running_tasklet, backtrace_ends_at_the_trampoline) {
  addresses first, resumed;
  stackless::tasklet([&] {
    first = running_frames();
    stackless::schedule();
    resumed = running_frames();
  });
  stackless::run();
  ASSERT_FALSE(first.empty());
  EXPECT_TRUE(in_trampoline(first.back()));
  EXPECT_EQ(first.size(), resumed.size());
  EXPECT_TRUE(in_trampoline(resumed.back()));
}

TEST(running_tasklet, exception_thrown_after_the_resume_unwinds_every_frame) {
  struct counts {
    int& n;
    ~counts() { ++n; }
  };
  struct recursion {
    [[gnu::noinline]] static int down(int levels, int& unwound) {
      const counts c{unwound};
      if (levels > 0) return down(levels - 1, unwound) + 1;
      stackless::schedule();
      throw levels;
    }
  };
  int unwound = 0;
  bool caught = false;
  stackless::tasklet([&] {
    try {
      recursion::down(9, unwound);
    } catch (int) {
      caught = true;
    }
  });
  stackless::run();
  EXPECT_TRUE(caught);
  EXPECT_EQ(unwound, 10);
}

TEST(restorable, is_told_of_a_tasklet_parked_deep_down) {
  stackless::tasklet t([] { stackless::schedule_remove(); });
  EXPECT_TRUE(t.restorable());
  stackless::run();
  EXPECT_TRUE(t.restorable());
  EXPECT_FALSE(stackless::current().restorable());
}

}  // namespace
