#pragma once

/// What a tasklet can be asked for beside what it does.

#include <cstddef>
#include <cstdint>

#include <stackless/config.hpp>

STACKLESS_BEGIN

/// The kind of native stack that a tasklet runs on.
enum class stack : std::uint8_t {
  own,  ///< of addresses that nobody else uses

  /// Several tasklets share addresses. While another one runs there, a sliced stack is a copy in the heap, as long as
  /// what is live of it: the least memory for a tasklet that waits. Other tasklets must not be given the address of
  /// anything on it, for they may find another's variable there: not of a local, nor of a channel or a mutex. Values
  /// that go through a channel are safe. A sliced tasklet moves to another thread only if it is the only one that uses
  /// its addresses.
  sliced,
};

struct tasklet_options {
  stackless::stack stack = stackless::stack::own;
};

/// What tasklets are made with in this thread if nothing else is said.
tasklet_options default_options();
void default_options(const tasklet_options&);

/// The addresses that sliced tasklets share.
struct shared_slots {
  /// So many of them can go on without a copy. They are given to tasklets in turn. At least 1.
  std::size_t count = 64;
};

/// For sliced tasklets that are made in this thread from now on. Throws error: no slots.
void share_slots(const shared_slots&);

STACKLESS_END
