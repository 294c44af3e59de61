/* Functions that set and read the registers which no compiler can be made to set and read reliably. */

#include "arch/asm.h"

        .text

/* void read_kept(uint64_t into[KEPT_COUNT]) */
FUNC_BEGIN(read_kept)
        movq    %rbx, 0(%rdi)
        movq    %rbp, 8(%rdi)
        movq    %r12, 16(%rdi)
        movq    %r13, 24(%rdi)
        movq    %r14, 32(%rdi)
        movq    %r15, 40(%rdi)
        retq
FUNC_END(read_kept)

/* context* switch_with_kept(context* from, context* to, uint64_t kept[KEPT_COUNT])
   The out-of-line switch, called with these values in the registers; stores what it came back with. */
FUNC_BEGIN(switch_with_kept)
        pushq   %rbx
        pushq   %rbp
        pushq   %r12
        pushq   %r13
        pushq   %r14
        pushq   %r15
        pushq   %rdx
        movq    0(%rdx), %rbx
        movq    8(%rdx), %rbp
        movq    16(%rdx), %r12
        movq    24(%rdx), %r13
        movq    32(%rdx), %r14
        movq    40(%rdx), %r15
        callq   stackless_switch
        popq    %rdi
        callq   read_kept
        popq    %r15
        popq    %r14
        popq    %r13
        popq    %r12
        popq    %rbp
        popq    %rbx
        retq
FUNC_END(switch_with_kept)

        NO_EXECUTABLE_STACK
