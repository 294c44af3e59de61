#pragma once

/// The record of a tasklet: what is known of it beside its stack. It lives in the region, at one address for life, and
/// is inlined into programs: a change of its layout changes STACKLESS_LAYOUT.

#include <atomic>
#include <cstddef>
#include <cstdint>

#include <stackless/context.hpp>
#include <stackless/sanitizer.hpp>

STACKLESS_BEGIN

struct slot;
class channel_base;

namespace detail {

struct scheduler;
struct extras;
struct selection;
struct slice;

/// Where a tasklet is.
///
///                in the ring   in a channel's queue   in the list of run() callers
///   paused            -                 -                         -
///   ready             x                 -                         -       the current one included
///   sending           -                 x                         -
///   receiving         -                 x                         -
///   choosing          -         stand-ins for it are              -       in a select()
///   running_others    -                 -                         x
///   dead              -                 -                         -
enum class state : std::uint8_t { paused, ready, sending, receiving, choosing, running_others, dead };

/// Why a tasklet wakes, tested after every switch.
enum class wake : std::uint8_t {
  normally,
  with_failure,  ///< record::failure is thrown
  to_exit,       ///< TaskletExit is thrown
};

/// The exceptions of one flow of control that are being thrown or handled: __cxa_eh_globals of the C++ ABI.
struct exceptions_in_flight {
  void* caught = nullptr;
  unsigned uncaught = 0;

  bool any() const { return caught != nullptr || uncaught != 0; }
};

/// A variable that one thread writes and any may read; it costs no more than a plain one.
template <class T>
class relaxed {
 public:
  constexpr relaxed(T value) : value_(value) {}
  relaxed(const relaxed&) = delete;
  relaxed& operator=(const relaxed&) = delete;
  T operator=(T value) {
    value_.store(value, std::memory_order_relaxed);
    return value;
  }
  /// Whoever reads this value with acquire order sees what was written before.
  void publish(T value) { value_.store(value, std::memory_order_release); }
  T acquire() const { return value_.load(std::memory_order_acquire); }
  T get() const { return value_.load(std::memory_order_relaxed); }
  operator T() const { return get(); }
  T operator->() const { return get(); }

 private:
  std::atomic<T> value_;
};

/// Runs the callable that waits at `closure`, or with `run` false only destroys it. Either way the block is freed.
using body = void (*)(void* closure, bool run);

struct alignas(64) record {
  // What a switch touches.
  arch::context context{};
  record* next = nullptr;  ///< ring: circular, in the order of turns; queue of a channel: nullptr ends it
  record* previous = nullptr;
  relaxed<scheduler*> owner = nullptr;  ///< of the thread it belongs to
  detail::wake wake = wake::normally;
  relaxed<detail::state> state = state::paused;
  bool started = false;
  bool has_cargo = false;  ///< `cargo` holds an object
  std::int32_t handles = 0;  ///< counted by its thread; others count in `foreign_handles`, and the sum counts

  // What a channel operation touches besides.
  alignas(16) std::byte cargo[32]{};  ///< the value on its way, or the address of the block it is in
  relaxed<channel_base*> blocked_on = nullptr;
  stackless::slot* stack = nullptr;
  detail::body body = nullptr;
  union {
    void* closure = nullptr;  ///< before it has started
    slice* away;              ///< afterwards, if it is sliced: the block its stack was in last; nullptr: none
  };

  exceptions_in_flight exceptions;  ///< while parked with any; else empty
  void* failure = nullptr;          ///< what wake::with_failure throws: the representation of a std::exception_ptr
  record* outer_runner = nullptr;   ///< running_others: whose run() this one's is nested in
  detail::extras* extras = nullptr; ///< what few tasklets have: name, locals, those who join it
  detail::selection* choice = nullptr;  ///< of a select(): what it waits for; of its stand-ins as well
  record* next_woken = nullptr;         ///< in its thread's inbox
  std::atomic<std::int32_t> foreign_handles = 0;
  bool sends_failure = false;       ///< sending: it is `failure` that is sent
  bool iterates = false;            ///< receiving: closing the channel ends it
  relaxed<bool> arriving = false;   ///< from another thread: its own has not let it in yet, and may not run it
  // Only its own thread touches these.
  bool serves : 1 = false;          ///< running_others: it waits for other threads as well
  bool block_trap : 1 = false;
  bool atomic : 1 = false;
  bool sliced : 1 = false;          ///< it shares its slot: see slice.hpp
  std::uint8_t size_class : 4 = 0;  ///< of the slot that it lives in, or would
  [[no_unique_address]] arch::sanitized_stack sanitized;

  std::int32_t all_handles() const { return handles + foreign_handles.load(std::memory_order_acquire); }
  bool blocked() const {
    const detail::state now = state;
    return now == state::sending || now == state::receiving || now == state::choosing;
  }
  /// Whoever sees that it has ended sees all that it did.
  bool alive() const { return state.acquire() != state::dead; }
};

static_assert(offsetof(record, context) == 0, "a switch hands out the context; it is the record's address");
static_assert(offsetof(record, cargo) == 64);
static_assert(STACKLESS_ASAN || STACKLESS_TSAN || sizeof(record) == 192);

inline record* record_of(arch::context* c) { return reinterpret_cast<record*>(c); }

// Compilers leave copies of a record's plain address in every parked frame: such a word means nothing. One that means
// to keep its tasklet, and to take it along into a snapshot, carries a tag in the bits that alignment leaves free.
inline constexpr std::uintptr_t handle_tag = 1;  ///< a counted handle
inline constexpr std::uintptr_t queue_tag = 2;   ///< an end of a channel's queue
inline constexpr std::uintptr_t owner_tag = 3;   ///< whose a mutex is

template <std::uintptr_t tag>
std::uintptr_t tagged(const record* r) {
  return r != nullptr ? reinterpret_cast<std::uintptr_t>(r) + tag : 0;
}
template <std::uintptr_t tag>
record* untagged(std::uintptr_t word) {
  return word != 0 ? reinterpret_cast<record*>(word - tag) : nullptr;
}

}  // namespace detail
STACKLESS_END
