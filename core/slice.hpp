#pragma once

/// Sliced stacks: several tasklets share a slot, and take turns to have it.
///
/// Slots are a cache. A tasklet is *in place* while the live bytes of its stack are in the slot: it goes on without a
/// copy. When another one wants the slot they are moved into a block that fits, and its context becomes one with a
/// detour, which brings them back when somebody switches to it, always to the same addresses. So no switch needs to know.
///
/// A *strict* one has a slot to itself, leaves it whenever it gives way, and closes it behind itself: whoever follows a
/// pointer into its stack then is found out. Only who leaves such a slot needs to know, by the attention word.

#include <cstddef>
#include <cstdint>
#include <span>

#include <stackless/detail/scheduler.hpp>

#include "core/heap.hpp"

STACKLESS_BEGIN
namespace detail {

/// The live bytes of a stack while another tasklet has the slot; they follow it.
struct alignas(16) slice {
  arch::context context;  ///< as it goes on
  std::uint32_t size;     ///< of the live bytes
  std::uint32_t room;     ///< for so many
  record* of;             ///< whose they are

  std::byte* bytes() { return reinterpret_cast<std::byte*>(this + 1); }
};

}  // namespace detail

namespace slices {

/// Gives `r`, which has no stack, one of the slots that the thread's tasklets share. Throws memory_error.
void settle(detail::scheduler&, detail::record* r);

/// `r`, which has not started, will begin in tasklet_entry.
void prepare(detail::record* r) noexcept;

/// `me`, whose slot is strict, gives way to `to`: switching to what this returns, it is away before `to` goes on.
arch::context* leave_for(detail::scheduler&, detail::record* me, detail::record* to) noexcept;

/// `r` has started and is about to be dead, or could not be brought back: what is live of its stack is so no longer.
void end(detail::record* r) noexcept;

/// `r`, which will not run any more, gives up its place.
void leave(detail::record* r) noexcept;

/// The suspended words of `r`, which has started and is parked, as they are when it is in place.
arch::context& context_of(detail::record* r) noexcept;

/// Where its live bytes, from the stack pointer on, are now.
std::span<std::byte> live_bytes(detail::record* r) noexcept;

/// Returns f(r, argument), called while `r`, which has started and is parked, is in place. If it shares the slot with the
/// caller, the caller's stack is away meanwhile: `argument` must not lead there.
using visitor = bool (*)(detail::record* r, void* argument);
bool in_place(detail::record* r, visitor f, void* argument);

/// `r`, which a snapshot brings back and which has no stack, gets its place in the slot that begins there, among those
/// who have theirs there. False, and nothing changed, if the addresses are others'. Throws memory_error.
bool come_home(detail::record* r, std::uintptr_t begin);

/// These are the live bytes of `r`, which has come home. The suspended words are whatever is put into context_of(r).
/// Throws memory_error.
void put_away(detail::record* r, std::span<const std::byte> live);

/// `r` is about to move from this thread to another. False if others use its slot.
bool assign(detail::record* r, detail::scheduler& to) noexcept;

/// `r`, whose thread has ended, is about to move to this one, while nobody else adopts any. False if tasklets of another
/// thread use its slot.
bool adopt(detail::record* r, detail::scheduler& to) noexcept;

/// The thread to which those belong who use the slot of `r`, as long as nobody adopts any.
detail::scheduler* home_of(const detail::record* r) noexcept;

/// It has come to this thread.
void arrive(detail::scheduler& to, detail::record* r);

/// `address` is on a stack that shares its slot.
bool hold(const void* address) noexcept;

/// The stack of somebody waits in this block.
bool keep(const heap::block&) noexcept;

/// Those who settle from now on share so many slots of this size, or if they are strict share none.
void share(detail::scheduler&, std::size_t count, unsigned size_class, bool strict);

/// The size of the slots that are shared.
unsigned size_class_of(detail::scheduler&);

/// The thread ends: what its tasklet `r` needs belongs to nobody. Nobody may adopt one before all have been abandoned and
/// the thread has closed, for they share what they need.
void abandon(detail::record* r) noexcept;

/// The thread ends. Slots that tasklets still use stay with them.
void close(detail::scheduler&) noexcept;

}  // namespace slices
STACKLESS_END
