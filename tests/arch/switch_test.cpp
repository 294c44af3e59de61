// What a switch has to keep, at every level of optimization: this file is compiled in several ways. Each
// value comes from a volatile, so that it is computed before the switch and needed after it.

#include <gtest/gtest.h>

#include <cstdint>
#include <stackless/scheduler.hpp>
#include <stackless/switch.hpp>
#include <stackless/tasklet.hpp>

#include "tests/arch/partner.hpp"
#include "tests/arch/wide_registers.hpp"

namespace {

using stackless::arch::switch_out_of_line;
using stackless::arch::switch_to;

volatile long source = 1;

TEST(inline_switch, over_aligned_local_and_alloca_are_addressed_by_the_base_pointer) {
  struct frame {
    [[gnu::noinline]] static bool with(partner& p, long n) {
      alignas(128) volatile long aligned[16];
      auto* variable =
          static_cast<volatile long*>(__builtin_alloca(static_cast<std::size_t>(n) * sizeof(long)));
      for (long i = 0; i < 16; ++i) aligned[i] = i;
      for (long i = 0; i < n; ++i) variable[i] = 100 + i;
      switch_to(&p.here, &p.there);
      bool right = reinterpret_cast<std::uintptr_t>(aligned) % 128 == 0;
      for (long i = 0; i < 16; ++i) right = right && aligned[i] == i;
      for (long i = 0; i < n; ++i) right = right && variable[i] == 100 + i;
      return right;
    }
  };
  partner p;
  for (long n : {1, 7, 100}) EXPECT_TRUE(frame::with(p, n));
}

// A value that comes from a given register and is wanted in it again: it stays there if the compiler thinks
// it can.
#define IN_REGISTER(name)                           \
  {                                                 \
    name, [](partner& p) {                          \
      register long before asm(name) = 42 * source; \
      asm volatile("" : "+r"(before));              \
      const long value = before;                    \
      switch_to(&p.here, &p.there);                 \
      register long after asm(name) = value;        \
      asm volatile("" : "+r"(after));               \
      return after == 42;                           \
    }                                               \
  }

struct in_register {
  const char* name;
  bool (*survives)(partner&);
};

TEST(inline_switch, value_in_each_register_that_a_call_keeps_and_in_x18) {
  const in_register all[] = {
#if defined(__x86_64__)
    IN_REGISTER("rbx"),
    IN_REGISTER("r12"),
    IN_REGISTER("r13"),
    IN_REGISTER("r14"),
    IN_REGISTER("r15"),
#else
    IN_REGISTER("x18"),
    IN_REGISTER("x19"),
    IN_REGISTER("x20"),
    IN_REGISTER("x21"),
    IN_REGISTER("x22"),
    IN_REGISTER("x23"),
    IN_REGISTER("x24"),
    IN_REGISTER("x25"),
    IN_REGISTER("x26"),
    IN_REGISTER("x27"),
    IN_REGISTER("x28"),
    IN_REGISTER("x30"),
#endif
  };
  partner p;
  for (const in_register& each : all) EXPECT_TRUE(each.survives(p)) << each.name;
}

TEST(inline_switch, more_live_integers_than_registers) {
  struct frame {
    [[gnu::noinline]] static long with(partner& p) {
      const long a = source * 1, b = source * 2, c = source * 3, d = source * 4, e = source * 5,
                 f = source * 6, g = source * 7, h = source * 8, i = source * 9, j = source * 10,
                 k = source * 11, l = source * 12, m = source * 13, n = source * 14, o = source * 15,
                 q = source * 16, r = source * 17, s = source * 18, t = source * 19, u = source * 20,
                 v = source * 21, w = source * 22, x = source * 23, y = source * 24, z = source * 25;
      switch_to(&p.here, &p.there);
      return a * b + c * d + e * f + g * h + i * j + k * l + m * n + o * q + r * s + t * u + v * w + x * y +
             z;
    }
  };
  partner p;
  EXPECT_EQ(frame::with(p), 2 + 12 + 30 + 56 + 90 + 132 + 182 + 240 + 306 + 380 + 462 + 552 + 25);
}

TEST(inline_switch, leaf_function_keeps_its_red_zone) {
  struct frame {
    [[gnu::noinline]] static long leaf(context* here, context* there) {
      volatile long zone[16];  // all of its 128 bytes
      for (long i = 0; i < 16; ++i) zone[i] = i;
      switch_to(here, there);
      long sum = 0;
      for (long i = 0; i < 16; ++i) sum += zone[i];
      return sum;
    }
  };
  partner p;
  EXPECT_EQ(frame::leaf(&p.here, &p.there), 120);
}

TEST(inline_switch, long_doubles) {
  struct frame {
    [[gnu::noinline]] static long double with(partner& p) {
      const long double a = 1.5L * source, b = 2.5L * source, c = 3.5L * source, d = 4.5L * source, e = a * b,
                        f = c * d, g = a + d;
      switch_to(&p.here, &p.there);
      return a + b * 10 + c * 100 + d * 1000 + e + f + g;
    }
  };
  partner p;
  EXPECT_EQ(frame::with(p), 1.5L + 25 + 350 + 4500 + 3.75L + 15.75L + 6);
}

TEST(inline_switch, doubles_and_whole_vectors) {
  typedef double vector __attribute__((vector_size(16)));
  struct frame {
    [[gnu::noinline]] static bool with(partner& p) {
      const vector one = vector{} + static_cast<double>(source);
      vector v[20];
      for (int i = 0; i < 20; ++i) v[i] = one * static_cast<double>(i);
      const double a = 0.5 * source, b = 0.25 * source, c = 0.125 * source;
      switch_to(&p.here, &p.there);
      bool right = a + b + c == 0.875;
      for (int i = 0; i < 20; ++i) right = right && v[i][0] == i && v[i][1] == i;
      return right;
    }
  };
  partner p;
  EXPECT_TRUE(frame::with(p));
}

TEST(inline_switch, registers_that_only_wider_instruction_sets_have) {
  // Compiled for AVX-512 or SVE; run where the CPU has it. What every CPU has is tested in the same words
  // above.
  partner p(clear_wide_registers);
  EXPECT_TRUE(!has_wide_registers() || wide_registers_survive(&p.here, &p.there));
}

kept_registers seen;
partner* common;

// Nothing is live but globals, so what the registers hold is what the switch left in them.
[[gnu::noinline]] void land_and_look() {
  switch_to(&common->here, &common->there);
  read_kept(seen.data());
  asm volatile("");  // no tail call: that would restore the registers first
}

[[noreturn]] context* look_at_entry(context*) {
  read_kept(seen.data());
  for (;;) switch_out_of_line(&common->there, &common->here);
}

/// True if those that hold no address of the frame are zero. The base may hold a compiler's own value.
testing::AssertionResult are_zero(const kept_registers& registers) {
  for (std::size_t i = 0; i < KEPT_COUNT; ++i) {
    if (i == KEPT_BASE || i == KEPT_FP || registers[i] == 0) continue;
    return testing::AssertionFailure() << "register " << i << " holds " << std::hex << registers[i];
  }
  return testing::AssertionSuccess();
}

TEST(garbage, of_another_stack_is_cleared_at_the_landing_pad) {
  partner p;
  common = &p;
  seen.fill(garbage_word);
  land_and_look();
  EXPECT_TRUE(are_zero(seen));
}

TEST(garbage, of_another_stack_is_cleared_at_the_trampoline) {
  partner p;
  common = &p;
  p.there = stackless::arch::fresh_context(p.there.sp, look_at_entry);
  seen.fill(garbage_word);
  kept_registers garbage;
  garbage.fill(garbage_word);
  switch_with_kept(&p.here, &p.there, garbage.data());
  EXPECT_TRUE(are_zero(seen));
}

TEST(out_of_line_switch, keeps_every_register_that_a_call_keeps) {
  partner p;
  kept_registers kept;
  for (std::size_t i = 0; i < kept.size(); ++i) kept[i] = 0x1111 * (i + 1);
  const kept_registers before = kept;
  EXPECT_EQ(switch_with_kept(&p.here, &p.there, kept.data()), &p.here);
  EXPECT_EQ(kept, before);
}

TEST(out_of_line_switch, values_of_a_caller_that_knows_nothing_of_it) {
  struct frame {
    [[gnu::noinline]] static double with(partner& p) {
      const double a = 1.0 * source, b = 2.0 * source, c = 3.0 * source, d = 4.0 * source;
      const long e = 5 * source, f = 6 * source, g = 7 * source;
      switch_out_of_line(&p.here, &p.there);
      return a * b + c * d + static_cast<double>(e * f * g);
    }
  };
  partner p;
  EXPECT_EQ(frame::with(p), 2 + 12 + 210);
}

TEST(switches, hand_out_their_own_context) {
  partner p;
  EXPECT_EQ(switch_to(&p.here, &p.there), &p.here);
  EXPECT_EQ(switch_out_of_line(&p.here, &p.there), &p.here);
  EXPECT_EQ(switch_to(&p.here, &p.there), &p.here);
}

#if defined(__x86_64__)

[[gnu::target("avx512f")]] void clear_upper_vectors() {
  asm volatile(
      "vpxord %%zmm16, %%zmm16, %%zmm16\n\tvpxord %%zmm17, %%zmm17, %%zmm17\n\tvpxord %%zmm30, %%zmm30, "
      "%%zmm30\n\t"
      "vpxord %%zmm31, %%zmm31, %%zmm31\n\tkxorw %%k3, %%k3, %%k3\n\t" ::
          : "xmm16", "xmm17", "xmm30", "xmm31", "k3");
}

#if defined(__clang__)
#define ZMM16 "zmm16"
#else
#define ZMM16 "xmm16"
#endif

/// Calls `give_way`, which is not inlined, with a value in zmm16.
template <class F>
[[gnu::target("avx512f")]] bool zmm16_survives(F give_way) {
  typedef double vector __attribute__((vector_size(64)));
  register vector before asm(ZMM16) = vector{} + 16.0 * static_cast<double>(source);
  asm volatile("" : "+v"(before));
  const vector value = before;
  give_way();
  register vector after asm(ZMM16) = value;
  asm volatile("" : "+v"(after));
  bool right = true;
  for (int i = 0; i < 8; ++i) right = right && after[i] == 16;
  return right;
}

bool cpu_has_avx512() {
  return __builtin_cpu_supports("avx512f");
}

#else

void clear_upper_vectors() {
  leave_garbage();
}

template <class F>
bool zmm16_survives(F give_way) {
  give_way();
  return true;
}

bool cpu_has_avx512() {
  return false;
}

#endif

TEST(out_of_line_switch, function_with_a_target_attribute_that_its_file_lacks) {
  // On a CPU without these registers the same road is taken with those it has.
  partner p(cpu_has_avx512() ? clear_upper_vectors : leave_garbage);
  const double half = 0.5 * source;
  EXPECT_TRUE(!cpu_has_avx512() || zmm16_survives([&] { switch_out_of_line(&p.here, &p.there); }));
  switch_out_of_line(&p.here, &p.there);
  EXPECT_EQ(half, 0.5);
}

TEST(out_of_line, function_with_a_target_attribute_that_its_file_lacks_may_schedule) {
  int rounds = 0;
  stackless::tasklet other([&] {
    for (;;) {
      cpu_has_avx512() ? clear_upper_vectors() : leave_garbage();
      ++rounds;
      stackless::schedule();
    }
  });
  const double half = 0.5 * source;
  const auto yield = [] { stackless::out_of_line([] { stackless::schedule(); }); };
  EXPECT_TRUE(!cpu_has_avx512() || zmm16_survives(yield));
  yield();
  EXPECT_EQ(half, 0.5);
  EXPECT_GE(rounds, 1);
  other.kill();
}

}  // namespace
