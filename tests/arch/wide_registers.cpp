// Compiled for AVX-512 or SVE when the compiler knows them: the inlined switch must then name more registers.
// Nothing of a library's is inlined here, for it would end up in code that lesser CPUs run.

#include "tests/arch/wide_registers.hpp"

#if defined(__AVX512F__)

#if defined(__clang__)
#define ZMM "zmm"
#else
#define ZMM "xmm"
#endif

bool has_wide_registers() {
  return __builtin_cpu_supports("avx512f");
}

void clear_wide_registers() {
  asm volatile(
      "vpxord %%zmm3, %%zmm3, %%zmm3\n\tvpxord %%zmm16, %%zmm16, %%zmm16\n\tvpxord %%zmm31, %%zmm31, "
      "%%zmm31\n\t"
      "kxorw %%k3, %%k3, %%k3" ::
          : "xmm3", "xmm16", "xmm31", "k3");
}

bool wide_registers_survive(stackless::arch::context* here, stackless::arch::context* there) {
  typedef double vector __attribute__((vector_size(64)));
  volatile double one = 1;
  const vector ones = vector{} + one;
  // Each value comes from a register and is wanted in it again: it stays there if the compiler thinks it can.
  register vector low_before asm(ZMM "3") = ones * 3;
  register vector high_before asm(ZMM "16") = ones * 16;
  register vector last_before asm(ZMM "31") = ones * 31;
  register unsigned short mask_before asm("k3") = static_cast<unsigned short>(0x5a5a * static_cast<int>(one));
  asm volatile("" : "+v"(low_before), "+v"(high_before), "+v"(last_before), "+k"(mask_before));
  const vector low = low_before, high = high_before, last = last_before;
  const unsigned short mask = mask_before;
  stackless::arch::switch_to(here, there);
  register vector low_after asm(ZMM "3") = low;
  register vector high_after asm(ZMM "16") = high;
  register vector last_after asm(ZMM "31") = last;
  register unsigned short mask_after asm("k3") = mask;
  asm volatile("" : "+v"(low_after), "+v"(high_after), "+v"(last_after), "+k"(mask_after));
  const vector sum = low_after + high_after + last_after;
  bool right = mask_after == 0x5a5a;
  for (int i = 0; i < 8; ++i) right = right && sum[i] == 50;
  return right;
}

#elif defined(__ARM_FEATURE_SVE)

#include <arm_sve.h>
#include <sys/auxv.h>

bool has_wide_registers() {
  return (getauxval(AT_HWCAP) & HWCAP_SVE) != 0;
}

void clear_wide_registers() {
  asm volatile(
      "pfalse p1.b\n\tpfalse p4.b\n\tpfalse p7.b\n\tpfalse p15.b\n\tdup z3.d, #0\n\tdup z9.d, #0\n\tdup "
      "z31.d, #0" ::
          : "p1", "p4", "p7", "p15", "z3", "z9", "z31");
}

bool wide_registers_survive(stackless::arch::context* here, stackless::arch::context* there) {
  volatile double one = 1;
  register svfloat64_t low_before asm("z3") = svdup_f64(3 * one);
  register svfloat64_t high_before asm("z31") = svdup_f64(20 * one);
  register svbool_t some_before asm("p4") = svwhilelt_b64(0, static_cast<int>(one));
  register svbool_t last_before asm("p15") = svwhilelt_b64(0, static_cast<int>(one));
  asm volatile("" : "+w"(low_before), "+w"(high_before), "+Upa"(some_before), "+Upa"(last_before));
  const svfloat64_t low = low_before, high = high_before;
  const svbool_t some = some_before, last = last_before;
  stackless::arch::switch_to(here, there);
  register svfloat64_t low_after asm("z3") = low;
  register svfloat64_t high_after asm("z31") = high;
  register svbool_t some_after asm("p4") = some;
  register svbool_t last_after asm("p15") = last;
  asm volatile("" : "+w"(low_after), "+w"(high_after), "+Upa"(some_after), "+Upa"(last_after));
  const svbool_t all = svptrue_b64();
  return svaddv_f64(all, svadd_f64_x(all, low_after, high_after)) == 23.0 * static_cast<double>(svcntd()) &&
         svcntp_b64(all, some_after) == 1 && svcntp_b64(all, last_after) == 1;
}

#else

bool has_wide_registers() {
  return false;
}

void clear_wide_registers() {}

bool wide_registers_survive(stackless::arch::context*, stackless::arch::context*) {
  return false;
}

#endif
