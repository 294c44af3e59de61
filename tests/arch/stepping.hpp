#pragma once

/// Stops at every instruction of some code. On x86-64 the CPU single-steps; on AArch64, where emulators
/// cannot, each instruction in turn is replaced by a breakpoint and the code is run again.

#include <signal.h>
#include <sys/mman.h>
#include <ucontext.h>
#include <unistd.h>

#include <cstdint>
#include <memory>
#include <vector>

namespace stepping {

struct code {
  std::uintptr_t begin, end;

  bool has(std::uintptr_t pc) const { return pc >= begin && pc < end; }
};

using visitor = void (*)(ucontext_t& interrupted);

inline std::vector<code> watched;
inline visitor visit;

/// What a walk needs to know of an interrupted flow of control.
struct machine_state {
  std::uintptr_t pc, sp;
  std::uintptr_t first_argument;  ///< rdi or x0

  explicit machine_state(const ucontext_t& u)
#if defined(__x86_64__)
      : pc(static_cast<std::uintptr_t>(u.uc_mcontext.gregs[REG_RIP])),
        sp(static_cast<std::uintptr_t>(u.uc_mcontext.gregs[REG_RSP])),
        first_argument(static_cast<std::uintptr_t>(u.uc_mcontext.gregs[REG_RDI])){}
#else
      : pc(u.uc_mcontext.pc), sp(u.uc_mcontext.sp), first_argument(u.uc_mcontext.regs[0]) {
  }
#endif
};

#if defined(__x86_64__)

inline void on_trap(ucontext_t& interrupted) {
  const std::uintptr_t pc = machine_state(interrupted).pc;
  for (const code& c : watched) {
    if (c.has(pc)) return visit(interrupted);
  }
}

// Bit 8 of the flags is the trap flag. The stack pointer steps over the red zone.
inline void begin_to_step() {
  asm volatile(
      "leaq -128(%%rsp), %%rsp\n\tpushfq\n\torq $0x100, (%%rsp)\n\tpopfq\n\tleaq 128(%%rsp), %%rsp" ::
          : "cc", "memory");
}
inline void stop_stepping() {
  asm volatile(
      "leaq -128(%%rsp), %%rsp\n\tpushfq\n\tandq $~0x100, (%%rsp)\n\tpopfq\n\tleaq 128(%%rsp), %%rsp" ::
          : "cc", "memory");
}

inline void go_through(void (*scenario)()) {
  begin_to_step();
  scenario();
  stop_stepping();
}

#else

using instruction = std::uint32_t;
inline instruction replaced;

inline void write_instruction(std::uintptr_t at, instruction what) {
  auto* const place = reinterpret_cast<instruction*>(at);
  *place = what;
  __builtin___clear_cache(reinterpret_cast<char*>(place), reinterpret_cast<char*>(place + 1));
}

inline void on_trap(ucontext_t& interrupted) {
  write_instruction(interrupted.uc_mcontext.pc, replaced);
  visit(interrupted);
}

inline void go_through(void (*scenario)()) {
  constexpr instruction brk = 0xd420'0000;
  const auto page = static_cast<std::uintptr_t>(sysconf(_SC_PAGESIZE));
  for (const code& c : watched) {
    const std::uintptr_t first = c.begin & ~(page - 1);
    mprotect(reinterpret_cast<void*>(first), c.end - first, PROT_READ | PROT_WRITE | PROT_EXEC);
    for (std::uintptr_t at = c.begin; at < c.end; at += sizeof(instruction)) {
      replaced = *reinterpret_cast<const instruction*>(at);
      write_instruction(at, brk);
      scenario();
      write_instruction(at, replaced);  // if it was not executed
    }
    mprotect(reinterpret_cast<void*>(first), c.end - first, PROT_READ | PROT_EXEC);
  }
}

#endif

/// Calls visit at each instruction of `of` that `scenario` executes. Each run of the scenario must be like
/// the first.
inline void every_instruction(std::vector<code> of, void (*scenario)(), visitor v) {
  watched = std::move(of);
  visit = v;
  constexpr std::size_t size = 256 << 10;
  const auto memory = std::make_unique<unsigned char[]>(size);
  stack_t stack = {.ss_sp = memory.get(), .ss_flags = 0, .ss_size = size};
  stack_t stack_before = {};
  struct sigaction action = {}, action_before = {};
  action.sa_flags = SA_SIGINFO | SA_ONSTACK;
  action.sa_sigaction = [](int, siginfo_t*, void* interrupted) {
    on_trap(*static_cast<ucontext_t*>(interrupted));
  };
  sigaltstack(&stack, &stack_before);
  sigaction(SIGTRAP, &action, &action_before);
  go_through(scenario);
  sigaction(SIGTRAP, &action_before, nullptr);
  sigaltstack(&stack_before, nullptr);
}

}  // namespace stepping
