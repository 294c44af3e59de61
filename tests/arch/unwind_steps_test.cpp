// At every instruction of a switch an unwinder that starts there, as a profiler's or a debugger's does, finds
// either the frames of the stack that is left or those of the one that is entered, and nothing else.

#include <gtest/gtest.h>
#include <ucontext.h>
#include <unwind.h>

#include <cstdint>
#include <stackless/switch.hpp>

#include "tests/arch/libunwind.hpp"
#include "tests/arch/stepping.hpp"

extern "C" {
void stackless_trampoline();
extern const char stackless_trampoline_end[];
void stackless_call_above(const stackless::arch::context*, void (*)(void*),
                          void*);  // comes after stackless_switch
// The sections of the functions below, by the linker.
extern const char __start_stepped[];
extern const char __stop_stepped[];
extern const char __start_anchor[];
extern const char __stop_anchor[];
}

namespace {

using stackless::arch::context;

template <class T>
std::uintptr_t address(T* of) {
  return reinterpret_cast<std::uintptr_t>(of);
}

alignas(64) unsigned char other_stack[std::size_t{64} << 10];
context here, there;

[[gnu::section("stepped"), gnu::noinline]] void go_inline() {
  stackless::arch::switch_to(&here, &there);
}
[[gnu::section("stepped"), gnu::noinline]] void come_back_inline() {
  stackless::arch::switch_to(&there, &here);
}
[[gnu::section("stepped"), gnu::noinline]] void go_out_of_line() {
  stackless::arch::switch_out_of_line(&here, &there);
}
[[gnu::section("stepped"), gnu::noinline]] void come_back_out_of_line() {
  stackless::arch::switch_out_of_line(&there, &here);
}

struct way {
  void (*go)();
  void (*come_back)();
};
way by;

[[noreturn]] context* other(context*) {
  for (;;) by.come_back();
}

// The base register, which a switch saves and loads: as the compiler spells it, and its number in DWARF.
#if defined(__x86_64__)
#define BASE_REGISTER "rbx"
constexpr int base_register = 3;
constexpr int base_register_of_libunwind = UNW_X86_64_RBX;
#else
#define BASE_REGISTER "x19"
constexpr int base_register = 19;
constexpr int base_register_of_libunwind = UNW_AARCH64_X19;
#endif

constexpr std::uintptr_t base_in_scenario = 0x6261'7365;

/// There and back twice: through the trampoline, then through the landing pads. A walk of the first stack
/// passes here.
[[gnu::section("anchor"), gnu::noinline]] void scenario() {
  there = stackless::arch::fresh_context(other_stack + sizeof other_stack, other);
  register std::uintptr_t base asm(BASE_REGISTER) = base_in_scenario;
  asm volatile("" : "+r"(base));
  by.go();
  by.go();
  asm volatile("" : "+r"(base));
}

/// The ends of walks.
struct walk {
  bool passes_anchor = false;
  bool ends_at_trampoline = false;

  void see(std::uintptr_t pc, std::uintptr_t base) {
    const bool anchor = pc > address(__start_anchor) && pc <= address(__stop_anchor);
    passes_anchor = passes_anchor || (anchor && base == base_in_scenario);
    ends_at_trampoline = pc >= address(stackless_trampoline) && pc <= address(stackless_trampoline_end);
  }
  bool is_of(bool the_other_stack) const {
    return the_other_stack ? ends_at_trampoline && !passes_anchor : passes_anchor && !ends_at_trampoline;
  }
};

constexpr int deepest_sensible_walk = 100;

walk by_libunwind(ucontext_t& interrupted) {
  walk w;
  unw_cursor_t cursor;
  unw_init_local2(&cursor, reinterpret_cast<unw_context_t*>(&interrupted), UNW_INIT_SIGNAL_FRAME);
  int frames = 0;
  do {
    unw_word_t pc = 0, base = 0;
    unw_get_reg(&cursor, UNW_REG_IP, &pc);
    unw_get_reg(&cursor, base_register_of_libunwind, &base);
    w.see(pc, base);
  } while (++frames < deepest_sensible_walk && unw_step(&cursor) > 0);
  return w;
}

/// Starts in the signal handler and goes on through the frame that the kernel made.
walk by_libgcc() {
  walk w;
  _Unwind_Backtrace(
      [](_Unwind_Context* at, void* to) {
        // The end of a stack is told as a frame at 0.
        if (_Unwind_GetIP(at) != 0) {
          static_cast<walk*>(to)->see(_Unwind_GetIP(at), _Unwind_GetGR(at, base_register));
        }
        return _URC_NO_REASON;
      },
      &w);
  return w;
}

/// Whose frames are to be found? Those that sp points to. Only between the load of sp and the jump, the last
/// instructions before the landing pad, they are still those that are being left: the CFI finds them through
/// the context that has just been stored, which the first argument points to.
bool belongs_to_the_other_stack(const stepping::machine_state& m) {
  constexpr std::uintptr_t last_instructions = 16;
  for (const context* from : {&here, &there}) {
    const std::uintptr_t to_the_landing_pad = address(from->pc) - m.pc;
    if (m.first_argument == address(from) && to_the_landing_pad != 0 &&
        to_the_landing_pad <= last_instructions) {
      return from == &there;
    }
  }
  return m.sp - address(other_stack) <= sizeof other_stack;
}

struct {
  int on_first_stack = 0, on_other_stack = 0;
  int libunwind_wrong = 0, libgcc_wrong = 0;
  std::uintptr_t libunwind_wrong_at = 0, libgcc_wrong_at = 0;
} result;

void walk_both_ways(ucontext_t& interrupted) {
  const stepping::machine_state m(interrupted);
  const bool other_one = belongs_to_the_other_stack(m);
  ++(other_one ? result.on_other_stack : result.on_first_stack);
  if (libunwind_follows && !by_libunwind(interrupted).is_of(other_one)) {
    ++result.libunwind_wrong;
    result.libunwind_wrong_at = m.pc;
  }
  if (!by_libgcc().is_of(other_one)) {
    ++result.libgcc_wrong;
    result.libgcc_wrong_at = m.pc;
  }
}

void check(way w) {
  by = w;
  result = {};
  const stepping::code everything[] = {
      {address(__start_stepped), address(__stop_stepped)},
      {address(&stackless::arch::stackless_switch), address(stackless_call_above)},
      {address(stackless_trampoline), address(stackless_trampoline_end)}};
  stepping::every_instruction({std::begin(everything), std::end(everything)}, scenario, walk_both_ways);
  // At least the instructions of the inline switch: the way there and the way back.
  EXPECT_GE(result.on_first_stack, 14);
  EXPECT_GE(result.on_other_stack, 14);
  EXPECT_EQ(result.libgcc_wrong, 0) << "the last at " << std::hex << result.libgcc_wrong_at;
  EXPECT_EQ(result.libunwind_wrong, 0) << "the last at " << std::hex << result.libunwind_wrong_at;
}

TEST(every_instruction_of_the_switch_unwinds, inline_) {
  check({go_inline, come_back_inline});
}

TEST(every_instruction_of_the_switch_unwinds, out_of_line) {
  check({go_out_of_line, come_back_out_of_line});
}

TEST(every_instruction_of_the_switch_unwinds, from_one_kind_to_the_other) {
  check({go_inline, come_back_out_of_line});
  check({go_out_of_line, come_back_inline});
}

}  // namespace
