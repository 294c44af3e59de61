/* Functions that set and read the registers which no compiler can be made to set and read reliably. */

#include "arch/asm.h"

        .text

/* void read_kept(uint64_t into[KEPT_COUNT]) */
FUNC_BEGIN(read_kept)
        hint    #34                     /* bti c */
        stp     x19, x20, [x0]
        stp     x21, x22, [x0, #16]
        stp     x23, x24, [x0, #32]
        stp     x25, x26, [x0, #48]
        stp     x27, x28, [x0, #64]
        str     x29, [x0, #80]
        stp     d8, d9, [x0, #88]
        stp     d10, d11, [x0, #104]
        stp     d12, d13, [x0, #120]
        stp     d14, d15, [x0, #136]
        ret
FUNC_END(read_kept)

/* context* switch_with_kept(context* from, context* to, uint64_t kept[KEPT_COUNT])
   The out-of-line switch, called with these values in the registers; stores what it came back with. */
FUNC_BEGIN(switch_with_kept)
        hint    #34
        stp     x29, x30, [sp, #-176]!
        stp     x19, x20, [sp, #16]
        stp     x21, x22, [sp, #32]
        stp     x23, x24, [sp, #48]
        stp     x25, x26, [sp, #64]
        stp     x27, x28, [sp, #80]
        stp     d8, d9, [sp, #96]
        stp     d10, d11, [sp, #112]
        stp     d12, d13, [sp, #128]
        stp     d14, d15, [sp, #144]
        str     x2, [sp, #160]
        ldp     x19, x20, [x2]
        ldp     x21, x22, [x2, #16]
        ldp     x23, x24, [x2, #32]
        ldp     x25, x26, [x2, #48]
        ldp     x27, x28, [x2, #64]
        ldr     x29, [x2, #80]
        ldp     d8, d9, [x2, #88]
        ldp     d10, d11, [x2, #104]
        ldp     d12, d13, [x2, #120]
        ldp     d14, d15, [x2, #136]
        bl      stackless_switch
        str     x0, [sp, #168]
        ldr     x0, [sp, #160]
        bl      read_kept
        ldr     x0, [sp, #168]
        ldp     d14, d15, [sp, #144]
        ldp     d12, d13, [sp, #128]
        ldp     d10, d11, [sp, #112]
        ldp     d8, d9, [sp, #96]
        ldp     x27, x28, [sp, #80]
        ldp     x25, x26, [sp, #64]
        ldp     x23, x24, [sp, #48]
        ldp     x21, x22, [sp, #32]
        ldp     x19, x20, [sp, #16]
        ldp     x29, x30, [sp], #176
        ret
FUNC_END(switch_with_kept)

        NO_EXECUTABLE_STACK
