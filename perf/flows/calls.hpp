#pragma once

/// From where in the program a flow of control gives way. A return address that the CPU's return stack does not expect
/// costs more than a switch, so the callers above a switch belong to what is measured.

namespace perf {

/// In the loop itself.
struct directly {
  template <class F>
  [[gnu::always_inline]] static void call(F&& give_way) {
    give_way();
  }
};

/// In a function that is called by a function that is called by one that the loop calls. Another `Body` is other code
/// that does the same.
template <int Body = 0>
struct three_deep {
  template <class F>
  [[gnu::always_inline]] static void call(F&& give_way) {
    descend(give_way, 3);
  }

 private:
  template <class F>
  [[gnu::noinline]] static void descend(F& give_way, int levels) {
    if (levels > 1) {
      descend(give_way, levels - 1);
    } else {
      give_way();
    }
    // So that it is no tail call, and that the compiler does not find two bodies to be the same.
    asm volatile("" ::"i"(Body) : "memory");
  }
};

}  // namespace perf
