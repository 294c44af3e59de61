#pragma once

/// A second flow of control that leaves garbage in every register and comes back.

#include <array>
#include <cstdint>
#include <memory>
#include <stackless/switch.hpp>

#include "tests/arch/registers.h"

using kept_registers = std::array<std::uint64_t, KEPT_COUNT>;

extern "C" {
void read_kept(std::uint64_t* into);
stackless::arch::context* switch_with_kept(stackless::arch::context* from, stackless::arch::context* to,
                                           std::uint64_t* kept);
}

namespace {

using stackless::arch::context;

constexpr std::uint64_t garbage_word = 0x6761'7262'6167'6521;

/// Every register that a call may destroy is destroyed; those that it keeps are garbage while the partner is
/// away.
[[gnu::noinline]] inline void leave_garbage() {
#if defined(__x86_64__)
  asm volatile(
      "movq %0, %%xmm0\n\t"
      "pshufd $0x44, %%xmm0, %%xmm0\n\t"
      "movdqa %%xmm0, %%xmm1\n\tmovdqa %%xmm0, %%xmm2\n\tmovdqa %%xmm0, %%xmm3\n\tmovdqa %%xmm0, %%xmm4\n\t"
      "movdqa %%xmm0, %%xmm5\n\tmovdqa %%xmm0, %%xmm6\n\tmovdqa %%xmm0, %%xmm7\n\tmovdqa %%xmm0, %%xmm8\n\t"
      "movdqa %%xmm0, %%xmm9\n\tmovdqa %%xmm0, %%xmm10\n\tmovdqa %%xmm0, %%xmm11\n\tmovdqa %%xmm0, "
      "%%xmm12\n\t"
      "movdqa %%xmm0, %%xmm13\n\tmovdqa %%xmm0, %%xmm14\n\tmovdqa %%xmm0, %%xmm15\n\t"
      "movq %0, %%r8\n\tmovq %0, %%r9\n\tmovq %0, %%r10\n\tmovq %0, %%r11\n\t"
      "movq %0, %%rcx\n\tmovq %0, %%rdx\n\t"
      "fninit\n\t"
      :
      : "a"(garbage_word)
      : "rcx", "rdx", "r8", "r9", "r10", "r11", "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6",
        "xmm7", "xmm8", "xmm9", "xmm10", "xmm11", "xmm12", "xmm13", "xmm14", "xmm15", "cc");
#else
  asm volatile(
      "mov x1, %0\n\tmov x2, %0\n\tmov x3, %0\n\tmov x4, %0\n\tmov x5, %0\n\tmov x6, %0\n\tmov x7, %0\n\t"
      "mov x8, %0\n\tmov x9, %0\n\tmov x10, %0\n\tmov x11, %0\n\tmov x12, %0\n\tmov x13, %0\n\tmov x14, "
      "%0\n\t"
      "mov x15, %0\n\tmov x16, %0\n\tmov x17, %0\n\tmov x18, %0\n\t"
      "dup v0.2d, %0\n\tdup v1.2d, %0\n\tdup v2.2d, %0\n\tdup v3.2d, %0\n\tdup v4.2d, %0\n\tdup v5.2d, %0\n\t"
      "dup v6.2d, %0\n\tdup v7.2d, %0\n\tdup v8.2d, %0\n\tdup v9.2d, %0\n\tdup v10.2d, %0\n\tdup v11.2d, "
      "%0\n\t"
      "dup v12.2d, %0\n\tdup v13.2d, %0\n\tdup v14.2d, %0\n\tdup v15.2d, %0\n\tdup v16.2d, %0\n\tdup v17.2d, "
      "%0\n\t"
      "dup v18.2d, %0\n\tdup v19.2d, %0\n\tdup v20.2d, %0\n\tdup v21.2d, %0\n\tdup v22.2d, %0\n\tdup v23.2d, "
      "%0\n\t"
      "dup v24.2d, %0\n\tdup v25.2d, %0\n\tdup v26.2d, %0\n\tdup v27.2d, %0\n\tdup v28.2d, %0\n\tdup v29.2d, "
      "%0\n\t"
      "dup v30.2d, %0\n\tdup v31.2d, %0\n\t"
      :
      : "r"(garbage_word)
      : "x1", "x2", "x3", "x4", "x5", "x6", "x7", "x8", "x9", "x10", "x11", "x12", "x13", "x14", "x15", "x16",
        "x17", "x18", "v0", "v1", "v2", "v3", "v4", "v5", "v6", "v7", "v8", "v9", "v10", "v11", "v12", "v13",
        "v14", "v15", "v16", "v17", "v18", "v19", "v20", "v21", "v22", "v23", "v24", "v25", "v26", "v27",
        "v28", "v29", "v30", "v31");
#endif
}

class partner {
 public:
  explicit partner(void (*work)() = leave_garbage)
      : meanwhile_(work), stack_(std::make_unique<bytes_of_stack>()) {
    there = stackless::arch::fresh_context(stack_->bytes + sizeof stack_->bytes, start);
  }

  context there{};  // first: its address is the partner's
  context here{};

 private:
  struct alignas(64) bytes_of_stack {
    unsigned char bytes[std::size_t{128} << 10];
  };

  void (*meanwhile_)();
  std::unique_ptr<bytes_of_stack> stack_;

  [[noreturn]] static context* start(context* self) {
    auto* me = reinterpret_cast<partner*>(self);
    kept_registers garbage;
    for (;;) {
      me->meanwhile_();
      garbage.fill(garbage_word);
      switch_with_kept(&me->there, &me->here, garbage.data());
    }
  }
};

}  // namespace
