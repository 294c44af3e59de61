#pragma once

#include <stackless/context.hpp>

#if defined(__ARM_FEATURE_SVE)
#define STACKLESS_CLOBBERS_SVE                                                                                       \
  , "p0", "p1", "p2", "p3", "p4", "p5", "p6", "p7", "p8", "p9", "p10", "p11", "p12", "p13", "p14", "p15", "ffr"
#else
#define STACKLESS_CLOBBERS_SVE
#endif

// CFI is there to be amended only where the compiler writes some.
#if defined(__GCC_HAVE_DWARF2_CFI_ASM)
#define STACKLESS_CFI(text) text "\n\t"
#else
#define STACKLESS_CFI(text)
#endif

// Where return addresses are signed this frame's is; the address of the landing pad is not.
#if defined(__ARM_FEATURE_PAC_DEFAULT)
#define STACKLESS_CFI_UNSIGNED STACKLESS_CFI(".cfi_negate_ra_state")
#else
#define STACKLESS_CFI_UNSIGNED
#endif

STACKLESS_BEGIN
namespace arch {

[[gnu::always_inline]] inline context* switch_to(context* from, context* to) noexcept {
  register context* source asm("x0") = from;
  register context* target asm("x1") = to;
  asm volatile(
      "adr x9, 1f\n\t"
      "mov x10, sp\n\t"
      "stp x9, x10, [x0]\n\t"
      "stp x29, x19, [x0, #16]\n\t"
      // From here to the branch: the caller is the context that x0 points to.
      STACKLESS_CFI(".cfi_remember_state")
      STACKLESS_CFI(".cfi_escape 0x0f, 3, 0x70, 8, 0x06")  // CFA = *(x0 + 8)
      STACKLESS_CFI(".cfi_escape 0x10, 30, 2, 0x70, 0")    // return address at x0 + 0
      STACKLESS_CFI(".cfi_escape 0x10, 29, 2, 0x70, 16")   // x29 at x0 + 16
      STACKLESS_CFI(".cfi_escape 0x10, 19, 2, 0x70, 24")   // x19 at x0 + 24
      STACKLESS_CFI_UNSIGNED
      "ldp x9, x10, [x1]\n\t"
      "ldp x29, x19, [x1, #16]\n\t"
      "mov sp, x10\n\t"
      "br x9\n\t"
      STACKLESS_CFI(".cfi_restore_state")
      "udf #0\n"  // a return address is looked up by the byte before it, which must be this frame's
      "1:\n\t"
      "hint #36\n\t"  // bti j
      // Garbage of the tasklet that ran before must not be spilled into this one's frames.
      "mov x20, xzr\n\t"
      "mov x21, xzr\n\t"
      "mov x22, xzr\n\t"
      "mov x23, xzr\n\t"
      "mov x24, xzr\n\t"
      "mov x25, xzr\n\t"
      "mov x26, xzr\n\t"
      "mov x27, xzr\n\t"
      "mov x28, xzr\n\t"
      "movi d8, #0\n\t"
      "movi d9, #0\n\t"
      "movi d10, #0\n\t"
      "movi d11, #0\n\t"
      "movi d12, #0\n\t"
      "movi d13, #0\n\t"
      "movi d14, #0\n\t"
      "movi d15, #0\n\t"
      : "+r"(source), "+r"(target)
      :
      : "memory", "cc", "x2", "x3", "x4", "x5", "x6", "x7", "x8", "x9", "x10", "x11", "x12", "x13", "x14", "x15",
        "x16", "x17", "x18", "x20", "x21", "x22", "x23", "x24", "x25", "x26", "x27", "x28", "x30", "v0", "v1", "v2",
        "v3", "v4", "v5", "v6", "v7", "v8", "v9", "v10", "v11", "v12", "v13", "v14", "v15", "v16", "v17", "v18",
        "v19", "v20", "v21", "v22", "v23", "v24", "v25", "v26", "v27", "v28", "v29", "v30",
        "v31" STACKLESS_CLOBBERS_SVE);
  return target;
}

}  // namespace arch
STACKLESS_END

#undef STACKLESS_CLOBBERS_SVE
#undef STACKLESS_CFI
#undef STACKLESS_CFI_UNSIGNED
