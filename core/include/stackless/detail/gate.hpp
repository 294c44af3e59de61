#pragma once

/// Where tasklets wait for something that is no value: the end of another, the time, a descriptor, a mutex.

#include <utility>

#include <stackless/channel.hpp>

STACKLESS_BEGIN
namespace detail {

class gate : public channel_base {
 public:
  constexpr gate() = default;

  /// The current tasklet waits. Throws as a receive does.
  void wait_for_opening(scheduler&);

  /// All who wait go on, as the last of the ring.
  void open(scheduler&) noexcept;

 protected:
  // For those who hold it:

  void wait_for_opening(holding&, scheduler&);
  void let_all_go(scheduler&) noexcept;

  /// `r`, which waits to be given something, is given it, and goes on.
  void give(scheduler&, record* r) noexcept;

  /// The caller waits to be given something. Throws as a receive does; if it has been given it by then, `give_back()`
  /// is called before.
  template <class GiveBack>
  void wait_to_be_given(holding& held, scheduler& s, GiveBack give_back) {
    refuse_to_block(s);
    record* self = wait(held, s, state::receiving);
    // Where it is kept is in the record: the gate may be gone if nothing was given.
    const bool given = std::exchange(self->has_cargo, false);
    if (given && self->wake != wake::normally) give_back();
    raise_if_woken_to(self);
  }
};

}  // namespace detail
STACKLESS_END
