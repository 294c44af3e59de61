#pragma once

/// What tasklets and channels ask of the scheduler out of line.

#include <exception>

#include <stackless/detail/scheduler.hpp>

STACKLESS_BEGIN
namespace detail {

/// The first thing on the stack of every tasklet, and the last.
arch::context* tasklet_entry(arch::context* self);

/// It belongs to another thread, or to one that has ended.
bool is_abroad(const record* r) noexcept;

/// Throws state_error if it does.
void refuse_abroad(const record* r);

/// Makes ready what `r` runs on, its slot, with whose bytes nothing has been done yet; one that has not started will begin
/// in tasklet_entry.
void prepare_stack(record* r);

/// `r`, which will not run any more, has no stack afterwards.
void release_stack(record* r) noexcept;

// A record holds a std::exception_ptr as a plain word: a thread's main is constant-initialised and never destroyed.
void put_failure(record* r, std::exception_ptr failure) noexcept;
std::exception_ptr take_failure(record* r) noexcept;

/// Throws error if `failure` holds no exception.
void refuse_nothing(const std::exception_ptr& failure);

/// `r` wakes normally, whatever it would have woken to.
void drop_failure(record* r) noexcept;

/// `r` wakes with `failure`.
void fail(record* r, std::exception_ptr failure) noexcept;

/// `to`, which can run, runs now; if it was paused it is inserted as the last. The order of turns goes on from there.
/// Returns when it is the caller's turn again.
record* jump(scheduler&, record* to);

/// `r` waits for nothing any more and has the next turn, unless it is in the ring already.
void give_next_turn(scheduler&, record* r) noexcept;

/// The caller is about to pause. If there is no handle by which somebody could wake it, it is unwound instead.
void refuse_to_be_lost(const scheduler&);

/// The caller, who is not in the ring any more or about to leave it, gives way to main, the only one left to be woken.
/// If main is blocked it wakes with a deadlock_error.
record* revive_main(scheduler&);

/// Wakes `r`, which is alive, started and not the caller, to TaskletExit. Returns the caller, woken.
record* unwind(scheduler&, record* r);

/// What every life ends with: `r` is about to be dead.
void end_life(scheduler& s, record* r) noexcept;

/// Gives back the record of a dead tasklet without a stack, and all that it has.
void destroy(record* r) noexcept;

}  // namespace detail
STACKLESS_END
