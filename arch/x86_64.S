/* What of the x86-64 switch cannot be inlined. The inline one, with the same offsets, is switch_x86_64.hpp.

   struct context: pc 0, sp 8, fp (rbp) 16, base (rbx) 24. */

#include "arch/asm.h"

/* The caller's frame is the context that `reg` (with its number as a DW_OP_breg operation) points to. */
#define CFI_CALLER_IS_CONTEXT(breg)      \
  .cfi_escape 0x0f, 3, breg, 8, 0x06;    \
  .cfi_escape 0x10, 16, 2, breg, 0;      \
  .cfi_escape 0x10, 6, 2, breg, 16;      \
  .cfi_escape 0x10, 3, 2, breg, 24

#define BREG_RBX 0x73
#define BREG_RDI 0x75

        .text

/* On from a function that is over, and whose stack is not needed any more, to the context that it has returned. */
#define SWITCH_TO_RESULT                 \
        movq    %rax, %rsi;              \
        movq    8(%rsi), %rsp;           \
        movq    16(%rsi), %rbp;          \
        movq    24(%rsi), %rbx;          \
        jmpq    *0(%rsi)

/* Where a fresh stack begins; a switch jumps here with rsi = its own context, rbx = the entry, rsp = the top.
   The unwinder stops here: there is no caller. */
FUNC_BEGIN(stackless_trampoline)
        .cfi_undefined %rip
        endbr64
        movq    %rbx, %rax
        movq    %rsi, %rdi
        xorl    %ebx, %ebx
        xorl    %ebp, %ebp
        xorl    %r12d, %r12d
        xorl    %r13d, %r13d
        xorl    %r14d, %r14d
        xorl    %r15d, %r15d
        callq   *%rax
        SWITCH_TO_RESULT
FUNC_END(stackless_trampoline)
        .globl  stackless_trampoline_end
        .hidden stackless_trampoline_end
stackless_trampoline_end:

/* Where a context goes on that has to be put right first; a switch jumps here with rsi = the context, rbx = who
   puts it right, rsp = the top of a stack for that. It returns the context that is switched to then.
   The unwinder stops here: what is above is no frame of that context. */
FUNC_BEGIN(stackless_detour)
        .cfi_undefined %rip
        endbr64
        movq    %rsi, %rdi
        xorl    %ebp, %ebp
        callq   *%rbx
        SWITCH_TO_RESULT
FUNC_END(stackless_detour)

/* context* stackless_switch(context* from, context* to)

   The frame while suspended:   | return address |
                                | rbp            |
                                | rbx            |
                                | r12 ... r15    |
                                | (alignment)    |  <- from->sp                                            */
FUNC_BEGIN(stackless_switch)
        endbr64
        pushq   %rbp
        .cfi_adjust_cfa_offset 8
        .cfi_rel_offset %rbp, 0
        pushq   %rbx
        .cfi_adjust_cfa_offset 8
        .cfi_rel_offset %rbx, 0
        pushq   %r12
        .cfi_adjust_cfa_offset 8
        .cfi_rel_offset %r12, 0
        pushq   %r13
        .cfi_adjust_cfa_offset 8
        .cfi_rel_offset %r13, 0
        pushq   %r14
        .cfi_adjust_cfa_offset 8
        .cfi_rel_offset %r14, 0
        pushq   %r15
        .cfi_adjust_cfa_offset 8
        .cfi_rel_offset %r15, 0
        leaq    1f(%rip), %rax
        movq    %rax, 0(%rdi)
        movq    %rsp, 8(%rdi)
        movq    %rbp, 16(%rdi)
        movq    %rbx, 24(%rdi)
        .cfi_remember_state
        CFI_CALLER_IS_CONTEXT(BREG_RDI)
        .cfi_same_value %r12
        .cfi_same_value %r13
        .cfi_same_value %r14
        .cfi_same_value %r15
        movq    8(%rsi), %rsp
        movq    16(%rsi), %rbp
        movq    24(%rsi), %rbx
        jmpq    *0(%rsi)
        .cfi_restore_state
        ud2                             /* a return address is looked up by the byte before it */
1:      endbr64
        movq    %rsi, %rax
        popq    %r15
        .cfi_adjust_cfa_offset -8
        .cfi_restore %r15
        popq    %r14
        .cfi_adjust_cfa_offset -8
        .cfi_restore %r14
        popq    %r13
        .cfi_adjust_cfa_offset -8
        .cfi_restore %r13
        popq    %r12
        .cfi_adjust_cfa_offset -8
        .cfi_restore %r12
        popq    %rbx
        .cfi_adjust_cfa_offset -8
        .cfi_restore %rbx
        popq    %rbp
        .cfi_adjust_cfa_offset -8
        .cfi_restore %rbp
        retq
FUNC_END(stackless_switch)

/* void stackless_call_above(const context* parked, void (*function)(void*), void* argument)

   Calls function(argument) on the running stack, while the CFI says that its caller is the parked frame: an unwinder
   started in `function` goes on there. */
FUNC_BEGIN(stackless_call_above)
        endbr64
        pushq   %rbx
        .cfi_adjust_cfa_offset 8
        .cfi_rel_offset %rbx, 0
        movq    %rdi, %rbx
        .cfi_remember_state
        CFI_CALLER_IS_CONTEXT(BREG_RBX)
        movq    %rdx, %rdi
        callq   *%rsi
        .cfi_restore_state
        popq    %rbx
        .cfi_adjust_cfa_offset -8
        .cfi_restore %rbx
        retq
FUNC_END(stackless_call_above)

        NO_EXECUTABLE_STACK
