#pragma once

/// What a thread does while none of its tasklets can run.
///
/// Somebody has to wait in the kernel, on a stack of his own, so that all others are parked properly: the idler, a
/// tasklet of the library that is in the ring for as long as there is anything to wait for. While others can run he
/// only looks, from time to time, whether something has happened.

#include <chrono>

#include <stackless/detail/scheduler.hpp>

STACKLESS_BEGIN
namespace detail {

constexpr auto forever = std::chrono::milliseconds::max();

/// Where a thread waits for timers and descriptors. One that has none waits for other threads only.
class event_loop {
 public:
  /// Some tasklet waits for an event of this loop.
  virtual bool awaited() const noexcept = 0;

  /// Wakes those whose event has come. If there is time it first waits for an event or for interrupt(), which may have
  /// come before.
  virtual void poll(std::chrono::milliseconds at_most) = 0;

  /// Lets a blocked poll() return. Any thread may call it.
  virtual void interrupt() noexcept = 0;

 protected:
  ~event_loop() = default;
};

/// From now on the thread waits in `loop`; nullptr: it has none any more.
void wait_in(scheduler&, event_loop* loop) noexcept;

/// Some other thread could still wake a tasklet of this one, or has done so already.
bool others_may_wake(const scheduler&) noexcept;

/// The idler is in the ring. To be called when a tasklet is about to wait for an event.
void keep_idler(scheduler&);

}  // namespace detail
STACKLESS_END
