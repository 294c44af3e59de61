/* The registers that the ABI lets a function keep, in the order in which registers.S stores them. Read by assembler
   and compiler. */

#if defined(__x86_64__)
#define KEPT_COUNT 6 /* rbx rbp r12 r13 r14 r15 */
#define KEPT_BASE 0
#define KEPT_FP 1
#else
#define KEPT_COUNT 19 /* x19 ... x28, x29, d8 ... d15 */
#define KEPT_BASE 0
#define KEPT_FP 10
#endif
