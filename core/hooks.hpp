#pragma once

/// What a program hangs into the scheduler of a thread: the error handler and the callbacks.

#include <stackless/scheduler.hpp>

STACKLESS_BEGIN
namespace detail {

struct hooks {
  error_handler on_error;
  schedule_callback on_switch;
  channel_callback on_channel;
  bool notifying = false;  ///< the channel callback runs
};

/// Sets or clears a bit of the attention word.
inline void attend(scheduler& s, std::uint32_t bit, bool on) {
  if (on) {
    s.attention.fetch_or(bit, std::memory_order_relaxed);
  } else {
    s.attention.fetch_and(~bit, std::memory_order_relaxed);
  }
}

/// What tasklet::block_trap sets.
void set_block_trap(record* r, bool on) noexcept;

/// Throws trap_error where switching is forbidden.
void refuse_trapped_switch(const scheduler&);

/// Tells the schedule callback.
void observe_switch(scheduler&, record* from, record* to) noexcept;

/// Gives what left a tasklet to the error handler. Returns what is left to be told: nothing, the same if there is no
/// handler, or what the handler has thrown.
std::exception_ptr handle_error(scheduler&, std::exception_ptr) noexcept;

}  // namespace detail
STACKLESS_END
