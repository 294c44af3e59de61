#pragma once

/// The scheduler of a thread, as far as it is inlined: the ring of those that can run, and how one gives way to
/// another. What is rare is out of line, in scheduler.cpp.

#include <atomic>
#include <cstddef>
#include <cstdint>

#include <stackless/detail/record.hpp>
#include <stackless/switch.hpp>

STACKLESS_BEGIN
namespace detail {

/// Bits of the attention word: everything unusual that a switch has to care about.
namespace attention {
inline constexpr std::uint32_t unborn = 1;     ///< the thread has not used its scheduler yet
inline constexpr std::uint32_t unsettled = 2;  ///< the current tasklet was woken to something where nothing can be thrown
inline constexpr std::uint32_t trapped = 4;    ///< switching is forbidden, or blocking is to some tasklet
inline constexpr std::uint32_t observed = 8;   ///< there are callbacks
inline constexpr std::uint32_t watched = 16;   ///< a run() has a timeout
inline constexpr std::uint32_t mail = 32;      ///< other threads have left something in the inbox
inline constexpr std::uint32_t strict = 64;    ///< the current tasklet closes its slot when it gives way: see slice.hpp
}  // namespace attention

struct hooks;
struct watchdog;
struct inbox;
struct slicer;

struct scheduler {
  record* current = nullptr;
  std::atomic<std::uint32_t> attention = attention::unborn;  ///< other threads set `mail`
  exceptions_in_flight* exceptions = nullptr;  ///< the thread's own, in the C++ runtime
  record* runner = nullptr;                    ///< the innermost caller of run()
  record* stranded = nullptr;                  ///< the outermost run() inside of one that was woken before it
  record* departed = nullptr;                  ///< have ended, and leave their stacks to others: a list, by `next`
  record* spare = nullptr;                     ///< have ended, and are to live again: a list, by `next`; see ended.hpp
  std::uint32_t kept_slots = 0;                ///< of tasklets that have ended, spare ones and others
  unsigned kept_size_class = 0;                ///< only slots of this size are kept
  std::int32_t switch_traps = 0;               ///< levels of switch_trap
  std::int32_t block_traps = 0;                ///< tasklets with block_trap
  detail::hooks* hooks = nullptr;              ///< error handler and callbacks, once there were any
  detail::watchdog* watchdog = nullptr;        ///< of the outermost run() with a timeout
  detail::inbox* inbox = nullptr;              ///< what other threads leave
  detail::slicer* slicer = nullptr;            ///< of sliced stacks, once there were any
  record* idler = nullptr;                     ///< see idle.hpp
  std::size_t population = 0;                  ///< tasklets that are alive, without main
  std::int32_t serving = 0;                    ///< calls of run() that wait for other threads
  bool stopped = false;                        ///< the next such call returns at once
  record main;

  bool heeds(std::uint32_t bits) const { return (attention.load(std::memory_order_relaxed) & bits) != 0; }

  /// True where the inlined paths do not suffice.
  bool unusual() const { return attention.load(std::memory_order_relaxed) != 0 || exceptions->any(); }
};

extern constinit thread_local scheduler this_scheduler [[gnu::tls_model("initial-exec")]];

/// The scheduler of this thread, as it is. Its address is found anew each time: one that the compiler has kept from
/// before a switch may be that of another thread or process. (Nor can the linker break a check for null pointers then:
/// it relaxes the addition that makes the address of a thread-local to one that leaves no flags.)
[[gnu::always_inline]] inline scheduler& mine() {
  scheduler* s = &this_scheduler;
  asm volatile("" : "+r"(s));
  return *s;
}

/// Makes the scheduler of this thread ready for use.
void be_born(scheduler&);

/// The scheduler of this thread, made ready for use.
inline scheduler& here() {
  scheduler& s = mine();
  if (s.heeds(attention::unborn)) [[unlikely]] be_born(s);
  return s;
}

/// The same at the beginning of an operation that may give way. Throws what the current tasklet was woken with where
/// nothing could be thrown; then nothing has been done.
scheduler& begin();

/// The inlined way to give way. `to` is in the ring.
[[gnu::always_inline]] inline record* switch_to(scheduler& s, record* me, record* to) {
  s.current = to;
  arch::crossing crossing(to->sanitized);
  record* self = record_of(arch::switch_to(&me->context, &to->context));
  crossing.arrived();
  return self;
}

/// The same out of line, for every case: exceptions in flight stay with `me`.
record* give_way(scheduler&, record* me, record* to);

/// If `r` waits, in a channel's queue or in the list of run() callers, it is taken out and paused.
void stop_waiting(record* r) noexcept;

/// Throws what a tasklet is woken with; it has been tested that there is something.
[[noreturn]] void raise(record* self);

inline void raise_if_woken_to(record* self) {
  if (self->wake != wake::normally) [[unlikely]] raise(self);
}

/// Who runs when `me` leaves the ring: the next in it, or if `me` is alone the innermost caller of run(), which is put
/// back into the ring. nullptr, and nothing changed, if there is nobody.
record* successor(scheduler&, record* me) noexcept;

/// Into the ring, with its turn just before that of `other`.
inline void insert_before(record* other, record* r) {
  r->next = other;
  r->previous = other->previous;
  other->previous->next = r;
  other->previous = r;
  r->state = state::ready;
}

/// Last in the order of turns: just before the current tasklet.
inline void append(scheduler& s, record* r) { insert_before(s.current, r); }

/// Next in the order of turns: after a switch to it, the tasklet that was current is the last.
inline void insert_next(scheduler& s, record* r) { insert_before(s.current->next, r); }

/// Out of the ring.
inline void unlink(record* r) {
  r->previous->next = r->next;
  r->next->previous = r->previous;
}

}  // namespace detail
STACKLESS_END
