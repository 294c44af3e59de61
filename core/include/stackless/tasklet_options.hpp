#pragma once

/// What a tasklet is made with.
///
///   stackless::tasklet parser({.stack_size = 1 << 20}, parse, text);
///   stackless::default_options({.stack_size = 64 << 10});   // of those that this thread makes from now on
///
/// A tasklet keeps its options for life, and when it is set up again.

#include <cstddef>

#include <stackless/config.hpp>

STACKLESS_BEGIN

struct tasklet_options {
  /// Bytes of stack that it can use at least; 0: as the default of the thread says, which is 160 KiB unless it was
  /// changed. It gets more where that costs nothing: stacks are addresses, memory is given page by page as it is used.
  /// Throws error: less than 16 KiB and what the kernel needs to deliver a signal, or more than nearly 2 GiB.
  std::size_t stack_size = 0;

  /// stack_high_water() is exact, and is known after the end: the stack is given to the tasklet clean, for a system call
  /// and a fault for each page that it uses.
  bool measure_stack = false;
};

/// What the tasklets are made with that this thread makes without options. Each thread begins with tasklet_options{}.
tasklet_options default_options() noexcept;

/// Throws error, and changes nothing, as a tasklet with these options would.
void default_options(const tasklet_options&);

STACKLESS_END
