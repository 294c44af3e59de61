#pragma once

/// A tasklet that waits in a select(): in each channel's queue a record stands in for it, and whoever meets one of them
/// first claims them all.

#include <atomic>
#include <cstddef>
#include <memory_resource>
#include <span>
#include <vector>

#include <stackless/heap.hpp>
#include <stackless/select.hpp>

#include "core/scheduler.hpp"

STACKLESS_BEGIN
namespace detail {

struct selection {
  selection(record* r, std::size_t cases) : chooser(r) {
    stand_ins.reserve(cases);
    chooser->choice = this;
  }
  ~selection();

  /// For those who hold the channel that `by` waits on, or nullptr for the chooser itself. True for the first.
  bool claim(record* by) noexcept {
    if (claimed_.exchange(true, std::memory_order_acq_rel)) return false;
    met = by;
    return true;
  }
  bool is_claimed() const noexcept { return claimed_.load(std::memory_order_acquire); }

  /// The chooser stops waiting, is paused, and looks again when it goes on. False, and nothing done, if it is being woken.
  bool give_up() noexcept;

  /// Whoever has claimed it cannot meet it.
  void begin_anew() noexcept { met = nullptr; }

  /// Throws what waiting on one of the channels would.
  static void refuse_to_wait(scheduler&, std::span<select_case* const> cases);

  /// A record waits for `c` on its channel, unless that is closed. False if somebody is to be met there already.
  bool enter(select_case& c);

  /// Those who still wait leave their queues. Whoever has claimed one is done with it afterwards.
  void leave() noexcept;

  /// The cases get back what was to be sent, to wait again.
  void take_back();

  struct stand_in {
    record* waits;
    channel_base* on;
    select_case* for_case;
  };

  record* const chooser;
  record* met = nullptr;  ///< nullptr: none, the chooser begins anew
  std::pmr::vector<stand_in> stand_ins{heap::memory_resource()};

 private:
  std::atomic<bool> claimed_ = false;
};

/// A record that waits in the place of a tasklet is none.
inline bool stands_in(const record* r) noexcept { return r->choice != nullptr && r->choice->chooser != r; }

/// Whom `r`, which has been met and has left the queue, stood in for: itself, if nobody.
inline record* behind(record* r) noexcept {
  if (!stands_in(r)) return r;
  r->blocked_on = nullptr;
  return r->choice->chooser;
}

}  // namespace detail
STACKLESS_END
