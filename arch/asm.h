/* What every assembly file needs of the object format: functions with a type and a size, and a stack that is not
   executable. */

#define FUNC_BEGIN(name)   \
  .globl name;             \
  .hidden name;            \
  .type name, %function;   \
  .balign 16;              \
  name:                    \
  .cfi_startproc

#define FUNC_END(name) \
  .cfi_endproc;        \
  .size name, . - name

#define NO_EXECUTABLE_STACK .section .note.GNU-stack, "", %progbits
