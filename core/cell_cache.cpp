#include "core/cell_cache.hpp"

#include <pthread.h>
#include <sched.h>

#include "arch/fence.hpp"
#include "arch/fork.hpp"
#include "core/fork_level.hpp"
#include "core/span.hpp"

STACKLESS_BEGIN

constinit thread_local thread_caches these_caches;

namespace {

constinit arch::spin_lock key_lock;
constinit bool has_key = false;
constinit pthread_key_t key{};

/// In a child of fork the spans are those of an earlier era.
void forget_spans() noexcept {
  for (cell_cache& each : my_caches().of) each.owned = {};
}

const arch::fork_hook at_fork(fork_level::memory, arch::hold<key_lock>, arch::release<key_lock>, forget_spans);

/// At the end of a thread.
void close(void* caches) {
  auto& ending = *static_cast<thread_caches*>(caches);
  ending.now = thread_caches::state::closed;
  for (cell_cache& each : ending.of) {
    if (each.pool != nullptr) each.pool->take_back(each);
  }
}

// A key, because a thread_local object would be destroyed before others that free memory.
bool close_at_end_of_thread(thread_caches& mine) noexcept {
  {
    arch::locked hold(key_lock);
    if (!has_key) has_key = pthread_key_create(&key, close) == 0;
    if (!has_key) return false;
  }
  return pthread_setspecific(key, &mine) == 0;
}

}  // namespace

void span_list::enter(span& s) noexcept {
  s.previous = nullptr;
  s.next = first;
  if (first != nullptr) first->previous = &s;
  first = &s;
  ++spans;
  empty += s.live == 0;
}

void span_list::leave(span& s) noexcept {
  (s.previous != nullptr ? s.previous->next : first) = s.next;
  if (s.next != nullptr) s.next->previous = s.previous;
  --spans;
  empty -= s.live == 0;
}

bool thread_caches::may_own(std::uint8_t index) noexcept {
  if (now == state::unborn) {
    now = state::closed;  // for what the C library may allocate meanwhile
    if (close_at_end_of_thread(*this)) now = state::open;
  }
  return now == state::open && index != cache_index::none;
}

bool thread_caches::stop() noexcept {
  stops.fetch_add(1, std::memory_order_relaxed);
  if (!arch::fence_all_threads()) {
    go_on();
    return false;
  }
  while (visited.load(std::memory_order_acquire)) sched_yield();
  return true;
}

STACKLESS_END
