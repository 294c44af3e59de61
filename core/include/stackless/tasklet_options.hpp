#pragma once

/// What a tasklet is made with.
///
///   stackless::tasklet parser({.stack_size = 1 << 20}, parse, text);
///   stackless::tasklet waiter({.stack = stackless::stack::sliced}, wait_for, customer);
///   stackless::default_options({.stack_size = 64 << 10});   // of those that this thread makes from now on
///
/// A tasklet keeps its options for life, and when it is set up again.

#include <cstddef>
#include <cstdint>

#include <stackless/config.hpp>

STACKLESS_BEGIN

/// The kind of native stack that a tasklet runs on.
enum class stack : std::uint8_t {
  own,  ///< of addresses that nobody else uses

  /// Several tasklets share addresses. While another one runs there, a sliced stack is a copy in the heap, as long as
  /// what is live of it: the least memory for a tasklet that waits. Nobody else may be given the address of anything on
  /// it, for he may find another tasklet's variable there: not of a local that a lambda refers to, and a channel or a
  /// mutex on it is refused; shared_slots::strict finds who is. Values that go through a channel are safe. A sliced
  /// tasklet moves to another thread only if it is the only one that uses its addresses.
  sliced,
};

struct tasklet_options {
  stackless::stack stack = stackless::stack::own;

  /// Bytes of stack that it can use at least; 0: as the default of the thread says, which is 160 KiB unless it was
  /// changed; sliced: what the shared slots have. It gets more where that costs nothing: stacks are addresses, memory is
  /// given page by page as it is used. Throws error: less than 16 KiB and what the kernel needs to deliver a signal, or
  /// more than nearly 2 GiB; sliced: more than the shared slots have.
  std::size_t stack_size = 0;

  /// stack_high_water() is exact, and is known after the end: the stack is given to the tasklet clean, for a system call
  /// and a fault for each page that it uses. Sliced: it is that of all who share the slot.
  bool measure_stack = false;
};

/// What the tasklets are made with that this thread makes without options. Each thread begins with tasklet_options{}.
tasklet_options default_options() noexcept;

/// Throws error, and changes nothing, as a tasklet with these options would.
void default_options(const tasklet_options&);

/// The addresses that the sliced tasklets of a thread share.
struct shared_slots {
  /// So many tasklets go on without a copy; more take turns. At least 1.
  std::size_t count = 64;

  /// Bytes of stack, as tasklet_options::stack_size; 0: 160 KiB.
  std::size_t stack_size = 0;

  /// To find mistakes: no slot is shared, whatever the count, and that of a parked tasklet is closed. Whoever uses a
  /// pointer into it is named on stderr, as overflow.hpp says, before the process ends by SIGSEGV; a system call that is
  /// given one fails with EFAULT. With AddressSanitizer it is a use-after-poison. A turn takes two system calls, some
  /// microseconds; a tasklet takes two of vm.max_map_count mappings, without which it cannot be had: memory_error.
  bool strict = false;
};

/// For those that this thread makes from now on. Throws error: no slots, or of a size that cannot be had.
void share_slots(const shared_slots&);

STACKLESS_END
