/* What of the AArch64 switch cannot be inlined. The inline one, with the same offsets, is switch_aarch64.hpp.

   struct context: pc 0, sp 8, fp (x29) 16, base (x19) 24. */

#include "arch/asm.h"

/* The caller's frame is the context that `reg` (with its number as a DW_OP_breg operation) points to. */
#define CFI_CALLER_IS_CONTEXT(breg)      \
  .cfi_escape 0x0f, 3, breg, 8, 0x06;    \
  .cfi_escape 0x10, 30, 2, breg, 0;      \
  .cfi_escape 0x10, 29, 2, breg, 16;     \
  .cfi_escape 0x10, 19, 2, breg, 24

#define BREG_X0  0x70
#define BREG_X19 0x83

#define BTI_C hint #34
#define BTI_J hint #36

        .text

/* On from a function that is over, and whose stack is not needed any more, to the context that it has returned. */
#define SWITCH_TO_RESULT                 \
        mov     x1, x0;                  \
        ldp     x9, x10, [x1];           \
        ldp     x29, x19, [x1, #16];     \
        mov     sp, x10;                 \
        br      x9

/* Where a fresh stack begins; a switch jumps here with x1 = its own context, x19 = the entry, sp = the top.
   The unwinder stops here: there is no caller. */
FUNC_BEGIN(stackless_trampoline)
        .cfi_undefined x30
        BTI_J
        mov     x9, x19
        mov     x0, x1
        mov     x19, xzr
        mov     x20, xzr
        mov     x21, xzr
        mov     x22, xzr
        mov     x23, xzr
        mov     x24, xzr
        mov     x25, xzr
        mov     x26, xzr
        mov     x27, xzr
        mov     x28, xzr
        movi    d8, #0
        movi    d9, #0
        movi    d10, #0
        movi    d11, #0
        movi    d12, #0
        movi    d13, #0
        movi    d14, #0
        movi    d15, #0
        mov     x29, xzr
        mov     x30, xzr
        blr     x9
        SWITCH_TO_RESULT
FUNC_END(stackless_trampoline)
        .globl  stackless_trampoline_end
        .hidden stackless_trampoline_end
stackless_trampoline_end:

/* Where a context goes on that has to be put right first; a switch jumps here with x1 = the context, x19 = who puts
   it right, sp = the top of a stack for that. It returns the context that is switched to then.
   The unwinder stops here: what is above is no frame of that context. */
FUNC_BEGIN(stackless_detour)
        .cfi_undefined x30
        BTI_J
        mov     x0, x1
        mov     x29, xzr
        mov     x30, xzr
        blr     x19
        SWITCH_TO_RESULT
FUNC_END(stackless_detour)

/* context* stackless_switch(context* from, context* to)

   The frame while suspended:   | d14 d15         |
                                | ...             |
                                | d8 d9           |
                                | x27 x28         |
                                | ...             |
                                | x19 x20         |
                                | x29 x30         |  <- from->sp                                           */
FUNC_BEGIN(stackless_switch)
        BTI_C
        stp     x29, x30, [sp, #-160]!
        .cfi_def_cfa_offset 160
        .cfi_offset x29, -160
        .cfi_offset x30, -152
        stp     x19, x20, [sp, #16]
        .cfi_offset x19, -144
        .cfi_offset x20, -136
        stp     x21, x22, [sp, #32]
        .cfi_offset x21, -128
        .cfi_offset x22, -120
        stp     x23, x24, [sp, #48]
        .cfi_offset x23, -112
        .cfi_offset x24, -104
        stp     x25, x26, [sp, #64]
        .cfi_offset x25, -96
        .cfi_offset x26, -88
        stp     x27, x28, [sp, #80]
        .cfi_offset x27, -80
        .cfi_offset x28, -72
        stp     d8, d9, [sp, #96]
        .cfi_offset b8, -64
        .cfi_offset b9, -56
        stp     d10, d11, [sp, #112]
        .cfi_offset b10, -48
        .cfi_offset b11, -40
        stp     d12, d13, [sp, #128]
        .cfi_offset b12, -32
        .cfi_offset b13, -24
        stp     d14, d15, [sp, #144]
        .cfi_offset b14, -16
        .cfi_offset b15, -8
        adr     x9, 1f
        mov     x10, sp
        stp     x9, x10, [x0]
        stp     x29, x19, [x0, #16]
        .cfi_remember_state
        CFI_CALLER_IS_CONTEXT(BREG_X0)
        ldp     x9, x10, [x1]
        ldp     x29, x19, [x1, #16]
        mov     sp, x10
        br      x9
        .cfi_restore_state
        udf     #0                      /* a return address is looked up by the byte before it */
1:      BTI_J
        mov     x0, x1
        ldp     d14, d15, [sp, #144]
        ldp     d12, d13, [sp, #128]
        ldp     d10, d11, [sp, #112]
        ldp     d8, d9, [sp, #96]
        ldp     x27, x28, [sp, #80]
        ldp     x25, x26, [sp, #64]
        ldp     x23, x24, [sp, #48]
        ldp     x21, x22, [sp, #32]
        ldp     x19, x20, [sp, #16]
        ldp     x29, x30, [sp], #160
        .cfi_def_cfa_offset 0
        ret
FUNC_END(stackless_switch)

/* void stackless_call_above(const context* parked, void (*function)(void*), void* argument)

   Calls function(argument) on the running stack, while the CFI says that its caller is the parked frame: an unwinder
   started in `function` goes on there. */
FUNC_BEGIN(stackless_call_above)
        BTI_C
        stp     x29, x30, [sp, #-32]!
        .cfi_def_cfa_offset 32
        .cfi_offset x29, -32
        .cfi_offset x30, -24
        str     x19, [sp, #16]
        .cfi_offset x19, -16
        mov     x19, x0
        .cfi_remember_state
        CFI_CALLER_IS_CONTEXT(BREG_X19)
        mov     x0, x2
        blr     x1
        .cfi_restore_state
        ldr     x19, [sp, #16]
        ldp     x29, x30, [sp], #32
        .cfi_def_cfa_offset 0
        ret
FUNC_END(stackless_call_above)

        NO_EXECUTABLE_STACK
