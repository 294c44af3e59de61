#pragma once

#include <stackless/context.hpp>

#if defined(__APX_F__)
#error "the switch does not name the registers r16 to r31 as clobbered: compile without APX"
#endif

#if defined(__AVX512F__)
#define STACKLESS_CLOBBERS_AVX512                                                                            \
  , "xmm16", "xmm17", "xmm18", "xmm19", "xmm20", "xmm21", "xmm22", "xmm23", "xmm24", "xmm25", "xmm26", "xmm27", \
      "xmm28", "xmm29", "xmm30", "xmm31", "k1", "k2", "k3", "k4", "k5", "k6", "k7"
#else
#define STACKLESS_CLOBBERS_AVX512
#endif

// CFI is there to be amended only where the compiler writes some.
#if defined(__GCC_HAVE_DWARF2_CFI_ASM)
#define STACKLESS_CFI(text) text "\n\t"
#else
#define STACKLESS_CFI(text)
#endif

STACKLESS_BEGIN
namespace arch {

[[gnu::always_inline]] inline context* switch_to(context* from, context* to) noexcept {
  // The stores go to the record and never below rsp: the caller may be a leaf that keeps locals in the red zone.
  asm volatile(
      "leaq 1f(%%rip), %%rax\n\t"
      "movq %%rax, 0(%%rdi)\n\t"
      "movq %%rsp, 8(%%rdi)\n\t"
      "movq %%rbp, 16(%%rdi)\n\t"
      "movq %%rbx, 24(%%rdi)\n\t"
      // From here to the jump: the caller is the context that rdi points to.
      STACKLESS_CFI(".cfi_remember_state")
      STACKLESS_CFI(".cfi_escape 0x0f, 3, 0x75, 8, 0x06")   // CFA = *(rdi + 8)
      STACKLESS_CFI(".cfi_escape 0x10, 16, 2, 0x75, 0")     // return address at rdi + 0
      STACKLESS_CFI(".cfi_escape 0x10, 6, 2, 0x75, 16")     // rbp at rdi + 16
      STACKLESS_CFI(".cfi_escape 0x10, 3, 2, 0x75, 24")     // rbx at rdi + 24
      STACKLESS_CFI(".cfi_same_value %%r12")
      STACKLESS_CFI(".cfi_same_value %%r13")
      STACKLESS_CFI(".cfi_same_value %%r14")
      STACKLESS_CFI(".cfi_same_value %%r15")
      "movq 8(%%rsi), %%rsp\n\t"
      "movq 16(%%rsi), %%rbp\n\t"
      "movq 24(%%rsi), %%rbx\n\t"
      "jmpq *0(%%rsi)\n\t"
      STACKLESS_CFI(".cfi_restore_state")
      "ud2\n"  // a return address is looked up by the byte before it, which must be this frame's
      "1:\n\t"
      "endbr64\n\t"
      // Garbage of the tasklet that ran before must not be spilled into this one's frames.
      "xorl %%r12d, %%r12d\n\t"
      "xorl %%r13d, %%r13d\n\t"
      "xorl %%r14d, %%r14d\n\t"
      "xorl %%r15d, %%r15d\n\t"
      : "+D"(from), "+S"(to)
      :
      : "memory", "cc", "rax", "rcx", "rdx", "r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15", "xmm0", "xmm1",
        "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9", "xmm10", "xmm11", "xmm12", "xmm13", "xmm14",
        "xmm15", "st", "st(1)", "st(2)", "st(3)", "st(4)", "st(5)", "st(6)", "st(7)", "mm0", "mm1", "mm2", "mm3",
        "mm4", "mm5", "mm6", "mm7" STACKLESS_CLOBBERS_AVX512);
  return to;
}

}  // namespace arch
STACKLESS_END

#undef STACKLESS_CLOBBERS_AVX512
#undef STACKLESS_CFI
