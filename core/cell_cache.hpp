#pragma once

/// The spans that a thread owns, a cache of them for each pool. It allocates from them and frees in them without a lock,
/// a fence or a read-modify-write. For that
///
///  - a span is owned by one thread or is nobody's. It changes hands with the lock of its pool held only;
///  - a cache and its spans are touched by their thread, on a visit or with the lock held, and by other threads with the
///    lock held while the owner is stopped: no visit is under way then, and none begins;
///  - what another thread frees in a span it notes beside the live bits, in span::remote. The owner collects that when
///    the span has no free cell left.
///
/// A span without a free cell is nobody's, and a thread owns no more than cell_cache::most_spans of a pool: what many
/// threads leave behind in part can be used by all.

#include <atomic>
#include <cstdint>
#include <stackless/config.hpp>

STACKLESS_BEGIN

class cell_pool;
struct span;

/// Spans that can be allocated from, the latest first.
struct span_list {
  span* first = nullptr;
  std::uint32_t spans = 0;
  std::uint32_t empty = 0;  ///< of them, without a live cell

  void enter(span& s) noexcept;
  void leave(span& s) noexcept;
};

struct cell_cache {
  /// Enough for a thread's working set, few enough that what is free in them and lost for others is little.
  static constexpr std::uint32_t most_spans = 16;

  span_list owned;
  cell_pool* pool = nullptr;  ///< theirs; nullptr: there were never any
};

/// Which of a thread's caches is for which pool.
namespace cache_index {
inline constexpr std::uint8_t heap = 0;  ///< the first of 40
inline constexpr std::uint8_t records = 40;
inline constexpr std::uint8_t none = 41;  ///< of pools whose spans are all nobody's: this one stays empty
}  // namespace cache_index

/// All caches of a thread. They are empty before its first allocation and after the thread-specific data of POSIX
/// threads have been destroyed, which come after all thread_local objects; then it uses what is nobody's.
struct thread_caches {
  enum class state : std::uint8_t { unborn, open, closed };

  state now = state::unborn;
  std::atomic<bool> visited = false;
  std::atomic<std::uint32_t> stops = 0;
  cell_cache of[cache_index::none + 1];

  /// Whether spans may enter the cache of this index: of the calling thread, and without a lock held.
  bool may_own(std::uint8_t index) noexcept;

  /// For other threads, with a lock held that keeps this one from ending. False if the machine does not allow it.
  bool stop() noexcept;
  void go_on() noexcept { stops.fetch_sub(1, std::memory_order_release); }
};

extern constinit thread_local thread_caches these_caches [[gnu::tls_model("initial-exec")]];

/// The caches of this thread. Their address is found anew each time, as that of the scheduler is.
[[gnu::always_inline]] inline thread_caches& my_caches() {
  thread_caches* mine = &these_caches;
  asm volatile("" : "+r"(mine));
  return *mine;
}

/// While a thread is at its own caches. The fence between the two accesses is in thread_caches::stop: it sees the visit,
/// or the visit sees that the thread is stopped.
class visit {
 public:
  explicit visit(thread_caches& mine) noexcept : mine_(mine) {
    mine_.visited.store(true, std::memory_order_relaxed);
    std::atomic_signal_fence(std::memory_order_seq_cst);
    allowed_ = mine_.stops.load(std::memory_order_acquire) == 0;
  }
  ~visit() { mine_.visited.store(false, std::memory_order_release); }
  visit(const visit&) = delete;
  visit& operator=(const visit&) = delete;

  bool allowed() const { return allowed_; }

 private:
  thread_caches& mine_;
  bool allowed_;
};

STACKLESS_END
