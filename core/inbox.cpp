#include "core/inbox.hpp"

#include <sched.h>
#include <semaphore.h>
#include <time.h>

#include <array>
#include <atomic>
#include <chrono>
#include <new>
#include <utility>

#include "arch/lock.hpp"
#include "arch/metadata.hpp"
#include "core/census.hpp"
#include "core/fork_level.hpp"
#include "core/idle.hpp"

STACKLESS_BEGIN
namespace detail {

constinit scheduler nobody;

/// One for each address that schedulers have had; a thread inherits that of an ended one. Never destroyed.
struct inbox {
  arch::spin_lock lock;
  scheduler* of = nullptr;  ///< nullptr: its thread has ended
  record* first_woken = nullptr;
  record* last_woken = nullptr;
  letter* first_letter = nullptr;
  letter* last_letter = nullptr;
  event_loop* loop = nullptr;
  bool asleep = false;
  bool expectant = false;
  bool counted = false;  ///< among those who wait; whoever wakes the thread takes it from them at once
  sem_t bell;  ///< rung once for each time it was asleep

  const scheduler* address = nullptr;
  inbox* next = nullptr;  ///< in the directory

  bool empty() const { return first_woken == nullptr && first_letter == nullptr; }

  // With the lock held, and the thread alive:

  void stop_counting() {
    if (std::exchange(counted, false)) census::end_waiting();
  }

  void wake_thread() {
    if (!std::exchange(asleep, false)) return;
    stop_counting();
    if (loop != nullptr) {
      loop->interrupt();
    } else {
      sem_post(&bell);
    }
  }

  void announce() {
    of->attention.fetch_or(attention::mail, std::memory_order_relaxed);
    wake_thread();
  }

  void put(record* r) {
    r->next_woken = nullptr;
    (first_woken != nullptr ? last_woken->next_woken : first_woken) = r;
    last_woken = r;
    announce();
  }

  void put(letter* l) {
    (first_letter != nullptr ? last_letter->next_ : first_letter) = l;
    last_letter = l;
    announce();
  }

  static letter* after(const letter* l) { return l->next_; }
};

namespace {

using arch::locked;

// Never shrinks, so that it is read without a lock.
std::array<std::atomic<inbox*>, 256> directory;
constinit arch::spin_lock directory_lock;
constinit arch::metadata::object_pool<inbox> inboxes;

std::atomic<inbox*>& shelf_of(const scheduler* s) {
  const auto address = reinterpret_cast<std::uintptr_t>(s);
  return directory[(address >> 6 ^ address >> 12 ^ address >> 20) % directory.size()];
}

template <class F>
void for_each_inbox(F f) noexcept {
  for (const std::atomic<inbox*>& shelf : directory) {
    for (inbox* in = shelf.load(std::memory_order_acquire); in != nullptr; in = in->next) f(*in);
  }
}

/// nullptr: no thread has ever had a scheduler there.
inbox* find(const scheduler* s) noexcept {
  inbox* in = shelf_of(s).load(std::memory_order_acquire);
  while (in != nullptr && in->address != s) in = in->next;
  return in;
}

inbox& find_or_create(const scheduler* s) {
  if (inbox* known = find(s)) return *known;
  const locked hold(directory_lock);
  inbox* fresh = inboxes.create();
  if (fresh == nullptr) throw std::bad_alloc();
  fresh->address = s;
  sem_init(&fresh->bell, 0, 0);
  std::atomic<inbox*>& shelf = shelf_of(s);
  fresh->next = shelf.load(std::memory_order_relaxed);
  shelf.store(fresh, std::memory_order_release);
  return *fresh;
}

const arch::fork_hook at_fork(
    fork_level::inbox,
    []() noexcept {
      directory_lock.lock();
      for_each_inbox([](inbox& in) { in.lock.lock(); });
    },
    []() noexcept {
      for_each_inbox([](inbox& in) { in.lock.unlock(); });
      directory_lock.unlock();
    },
    []() noexcept { census::begin_anew(mine().inbox != nullptr); });

/// Those who wait for what others may do look again whether there are others.
void rouse_the_expectant() noexcept {
  for_each_inbox([](inbox& in) {
    const locked hold(in.lock);
    if (in.of != nullptr && in.expectant) in.wake_thread();
  });
}

using namespace std::chrono_literals;

/// Who hopes for threads that tell nobody when they end looks so often whether they have.
constexpr std::chrono::milliseconds between_counts = 20ms;

/// A signal ends the wait, too: it is looked again what there is to do.
void wait_for(sem_t& bell, std::chrono::milliseconds at_most) {
  if (at_most == 0ms) return;
  if (at_most == forever) {
    sem_wait(&bell);
    return;
  }
  const auto end = (std::chrono::steady_clock::now() + at_most).time_since_epoch();
  const auto seconds = std::chrono::floor<std::chrono::seconds>(end);
  const timespec until{seconds.count(), std::chrono::nanoseconds(end - seconds).count()};
  sem_clockwait(&bell, CLOCK_MONOTONIC, &until);
}

}  // namespace

void open_inbox(scheduler& s) {
  inbox& in = find_or_create(&s);
  const locked hold(in.lock);
  in.of = &s;
  s.inbox = &in;
  census::join();
}

bool close_inbox(scheduler& s) noexcept {
  {
    const locked hold(s.inbox->lock);
    if (!s.inbox->empty()) return false;
    s.inbox->of = nullptr;
  }
  census::leave();
  rouse_the_expectant();
  return true;
}

void send_home(record* r) noexcept {
  if (inbox* in = find(r->owner)) {
    const locked hold(in->lock);
    r->blocked_on = nullptr;  // who sees this finds it in the inbox
    if (in->of != nullptr) return in->put(r);
  }
  r->blocked_on = nullptr;
  r->state.publish(state::paused);
}

bool post(scheduler* to, std::unique_ptr<letter> l, record* r) noexcept {
  inbox* in = find(to);
  if (in == nullptr) return false;
  const locked hold(in->lock);
  if (in->of == nullptr) return false;
  if (r != nullptr) r->owner.publish(to);
  in->put(l.release());
  return true;
}

void collect(scheduler& s) noexcept {
  inbox& in = *s.inbox;
  record* woken;
  letter* letters;
  {
    const locked hold(in.lock);
    s.attention.fetch_and(~attention::mail, std::memory_order_relaxed);
    woken = std::exchange(in.first_woken, nullptr);
    letters = std::exchange(in.first_letter, nullptr);
  }
  while (record* r = woken) {
    woken = r->next_woken;
    append(s, r);
  }
  ++s.switch_traps;  // whoever gave way here would leave the rest of the letters unopened
  while (letters != nullptr) {
    const std::unique_ptr<letter> l(std::exchange(letters, inbox::after(letters)));
    l->open(s);
  }
  --s.switch_traps;
}

bool wait_for_mail(scheduler& s, bool expectant) {
  inbox& in = *s.inbox;
  const bool for_events = in.loop != nullptr && in.loop->awaited();
  {
    const locked hold(in.lock);
    if (!in.empty()) return true;
    in.asleep = true;
    in.expectant = expectant;
    in.counted = !for_events;
  }
  const auto others = for_events ? census::activity::of_members : census::begin_waiting();
  const bool hope = others != census::activity::none || !expectant;
  if (others == census::activity::none && !expectant) rouse_the_expectant();
  const bool counts_again = expectant && others == census::activity::of_strangers;
  const auto at_most = !hope ? 0ms : counts_again ? between_counts : forever;
  if (in.loop != nullptr) {
    in.loop->poll(at_most);
  } else {
    wait_for(in.bell, at_most);
  }
  const locked hold(in.lock);
  in.stop_counting();
  in.asleep = in.expectant = false;
  return hope;
}

event_loop* loop_of(scheduler& s) noexcept { return s.inbox->loop; }

void wait_in(scheduler& s, event_loop* loop) noexcept {
  const locked hold(s.inbox->lock);
  s.inbox->loop = loop;
}

}  // namespace detail
STACKLESS_END
