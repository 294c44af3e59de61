#pragma once

/// How tasklets change threads. Compilers keep addresses of thread-local variables in frames across a switch, and the
/// thread pointer from which they compute them; the words that are such addresses are noted when a tasklet leaves its
/// thread, and rewritten when it arrives in another.

#include <cstddef>
#include <cstdint>

#include <stackless/detail/scheduler.hpp>

STACKLESS_BEGIN
namespace detail {

/// A word of a parked tasklet that is the address of a thread-local variable, or the thread pointer.
struct thread_word {
  std::size_t number;  ///< among the words of the tasklet
  std::size_t module;  ///< as the dynamic linker numbers those with thread-local storage
  std::size_t offset;  ///< in the module's block
};

/// `r`, paused or blocked, goes over to the thread of `to`. False, and nothing changed, if that has ended.
bool hand_over(scheduler& from, record* r, scheduler* to);

/// `r`, whose thread has ended, belongs to this one from now on. False if its thread has not, or another was quicker.
bool adopt(scheduler&, record* r);

/// A handle to `r`, whose thread has ended, is gone; with the last one `r` comes to this thread, which unwinds it. False,
/// and nothing changed, if its thread has not ended.
bool let_go_orphaned(record* r) noexcept;

/// The thread ends: its tasklets that nobody could adopt, without a handle, are unwound. False if there was none.
bool unwind_forgotten(scheduler&);

/// The others are paused, or stay blocked, until somebody adopts them.
void leave_tasklets(scheduler&);

}  // namespace detail
STACKLESS_END
