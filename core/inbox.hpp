#pragma once

/// What other threads leave for a thread: tasklets of its that they have woken, and letters. It is not part of the
/// thread's scheduler, and stays when the thread has ended, so that nobody can come too late.

#include <memory>

#include <stackless/detail/scheduler.hpp>

STACKLESS_BEGIN
namespace detail {

class event_loop;

/// Something that is to be done in another thread.
class letter {
 public:
  virtual ~letter() = default;
  virtual void open(scheduler&) noexcept = 0;

 private:
  friend struct inbox;
  letter* next_ = nullptr;
};

/// A letter that calls `f(scheduler&)`.
template <class F>
std::unique_ptr<letter> letter_to(F f) {
  struct call final : letter {
    explicit call(F&& given) : what(std::move(given)) {}
    void open(scheduler& s) noexcept override { what(s); }
    F what;
  };
  return std::make_unique<call>(std::move(f));
}

/// The scheduler that tasklets belong to whose thread has ended.
extern constinit scheduler nobody;

/// The thread begins, and ends, to take what is left for it. It does not end, and the second returns false, while there
/// is something.
void open_inbox(scheduler&);
bool close_inbox(scheduler&) noexcept;

/// `r`, which another thread's tasklet has taken out of a queue that it holds, becomes the last of its ring. If its
/// thread has ended it is paused.
void send_home(record* r) noexcept;

/// False, and the letter is not opened, if that thread has ended. Before it is opened `given` is that thread's.
bool post(scheduler* to, std::unique_ptr<letter>, record* given = nullptr) noexcept;

/// Takes in what others have left.
void collect(scheduler&) noexcept;

/// Waits until others have left something, or ring; in the thread's event loop if it has one. `expectant`: it waits
/// because of what other threads may do. False, at once, if nobody can do anything any more.
bool wait_for_mail(scheduler&, bool expectant);

/// The event loop that the thread waits in.
event_loop* loop_of(scheduler&) noexcept;

}  // namespace detail
STACKLESS_END
