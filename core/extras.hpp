#pragma once

/// What only few tasklets have, kept out of their records, in the picklable heap. Those who ask for it to be inherited,
/// ended or dropped have seen that it is there.

#include <any>
#include <chrono>
#include <cstdint>
#include <list>
#include <memory_resource>
#include <string>
#include <vector>

#include <stackless/detail/gate.hpp>
#include <stackless/detail/record.hpp>
#include <stackless/heap.hpp>

#include "core/migration.hpp"

STACKLESS_BEGIN
namespace detail {

/// A tasklet's value of a tasklet_local.
struct local {
  const void* key;  ///< the tasklet_local
  std::any value;
};

/// What a tasklet waits for in its thread's event_loop. Plain values, which mean the same in whatever process it waits.
struct awaited_event {
  enum class kind : std::uint8_t { time, readable, writable };

  kind what = kind::time;
  bool timed_out = false;  ///< the deadline came first
  int descriptor = -1;
  std::chrono::steady_clock::time_point deadline = std::chrono::steady_clock::time_point::max();
  gate come;
};

struct extras {
  std::pmr::string name{heap::memory_resource()};
  std::pmr::list<local> locals{heap::memory_resource()};
  std::pmr::vector<thread_word> thread_words{heap::memory_resource()};  ///< on the way to another thread
  gate ended;
  awaited_event awaits;
  bool measured = false;       ///< its stack is clean when it begins
  std::size_t high_water = 0;  ///< if so, that of the life that ended
};

/// Those of `r`, made if it has none.
extras& extras_of(record* r);

/// It waits for what its event loop will tell, and not for another tasklet.
inline bool awaits_event(const record* r) {
  return r->blocked() && r->extras != nullptr && r->blocked_on == &r->extras->awaits.come;
}

/// `r` ends: its locals go, and those who join it go on.
void end_extras(scheduler& s, record* r) noexcept;

void drop_extras(record* r) noexcept;

}  // namespace detail
STACKLESS_END
