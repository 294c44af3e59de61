#pragma once

/// How threads come to share a channel.
///
/// A channel belongs to the first thread that uses it, and that thread uses it without lock, fence or read-modify-write:
/// it only marks the channel. Another thread that wants to use the channel takes this away for ever:
///
///     the thread that uses it             the thread that wants to
///     mark                                used_by_ = several
///     used_by_ == me?                     fence for all threads
///     ... use the channel ...             wait while it is marked
///     unmark (release)                    ... use the channel, with its lock held ...
///
/// If the first one reads `used_by_` before the fence, its mark is seen; if after it, it sees `several`, and takes the lock
/// as everybody does from then on. While the process has one thread the inlined paths do not even mark.

#include <stackless/channel.hpp>

#include "arch/lock.hpp"

STACKLESS_BEGIN
namespace detail {

/// The lock of a shared channel at this address. Channels have no locks of their own, so that one can be asked for
/// that may be gone by now.
arch::spin_lock& lock_of(const void* channel) noexcept;

}  // namespace detail
STACKLESS_END
