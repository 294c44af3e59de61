#include "core/idle.hpp"

#include <chrono>
#include <utility>

#include <stackless/scheduler.hpp>

#include "core/access.hpp"
#include "core/census.hpp"
#include "core/inbox.hpp"
#include "core/scheduler.hpp"

STACKLESS_BEGIN
namespace detail {
namespace {

using namespace std::chrono_literals;
using idle_clock = std::chrono::steady_clock;

/// While others run, events are looked for so often: to ask the kernel costs as much as many turns.
constexpr auto between_looks = 50us;

/// What is there to wait for?
enum class hope {
  none,
  events,  ///< of the event loop
  mail,    ///< a run() that serves waits for it
  others,  ///< main waits on a channel, and other threads may use it
};

hope hope_of(scheduler& s) {
  const event_loop* loop = loop_of(s);
  if (loop != nullptr && loop->awaited()) return hope::events;
  const bool others_live = s.population > 1;  // than the idler
  if (s.serving > 0 && others_live) return hope::mail;
  if (s.runner == nullptr && s.main.blocked() && others_may_wake(s)) return hope::others;
  return hope::none;
}

bool alone(const scheduler& s) { return s.current->next == s.current; }

void idle() {
  auto looked = idle_clock::now();
  for (;;) {
    scheduler& s = begin();
    if (alone(s)) {
      const hope h = hope_of(s);
      if (h == hope::none) return;
      if (!wait_for_mail(s, h == hope::others)) continue;
      looked = idle_clock::now();
    } else if (event_loop* loop = loop_of(s); loop != nullptr && idle_clock::now() - looked > between_looks) {
      loop->poll(0ms);
      looked = idle_clock::now();
    }
    schedule();
  }
}

/// The body of the idler; there is nothing in its closure.
void run_idler(void*, bool run) {
  struct retiring {
    ~retiring() { mine().idler = nullptr; }
  } const afterwards;
  if (run) idle();
}

}  // namespace

void keep_idler(scheduler& s) {
  if (s.idler != nullptr) return;
  tasklet t({.stack = stack::own});  // nobody else's place in a slot
  record* r = tasklet_access::record(t);
  r->body = run_idler;
  r->closure = r;
  set_up(r);
  s.idler = r;
  t.insert();
}

bool others_may_wake(const scheduler& s) noexcept {
  // In this order: whoever is counted as waiting by then has left before what it leaves here.
  return census::others_are_active() || s.heeds(attention::mail);
}

}  // namespace detail
STACKLESS_END
