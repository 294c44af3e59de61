#include "arch/unwind.hpp"

#include <unwind.h>

STACKLESS_BEGIN
namespace arch {

extern "C" {
void stackless_trampoline();
extern const char stackless_trampoline_end[];
void stackless_call_above(const context* parked, void (*function)(void*), void* argument);
}

namespace {

struct walker {
  const context& parked;
  void (*visit)(void*, frame);
  void* argument;
  bool reached = false;  ///< the frames seen are those of the parked stack
  bool ended = false;    ///< the trampoline was the last of them
};

bool in_trampoline(std::uintptr_t pc) {
  return pc > reinterpret_cast<std::uintptr_t>(&stackless_trampoline) &&
         pc <= reinterpret_cast<std::uintptr_t>(stackless_trampoline_end);
}

_Unwind_Reason_Code step(_Unwind_Context* at, void* state) {
  auto& w = *static_cast<walker*>(state);
  const frame found{.pc = _Unwind_GetIP(at), .low = _Unwind_GetCFA(at)};
  // The walk begins in this file and in the assembly function; the parked frame is the first with its words.
  w.reached = w.reached || (found.pc == reinterpret_cast<std::uintptr_t>(w.parked.pc) &&
                            found.low == reinterpret_cast<std::uintptr_t>(w.parked.sp));
  if (!w.reached) return _URC_NO_REASON;
  w.ended = in_trampoline(found.pc);
  w.visit(w.argument, found);
  return w.ended ? _URC_END_OF_STACK : _URC_NO_REASON;
}

}  // namespace

bool walk(const context& parked, void (*visit)(void*, frame), void* argument) {
  walker w{parked, visit, argument};
  stackless_call_above(
      &parked, [](void* state) { _Unwind_Backtrace(step, state); }, &w);
  return w.ended;
}

bool is_fresh(const context& c) noexcept {
  return c.pc == reinterpret_cast<void*>(&stackless_trampoline);
}

}  // namespace arch
STACKLESS_END
