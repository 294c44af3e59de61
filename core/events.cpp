#include <stackless/events.hpp>

#include <fcntl.h>
#include <pthread.h>
#include <uv.h>

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <functional>
#include <map>
#include <memory>
#include <new>
#include <string>
#include <unordered_map>
#include <variant>
#include <vector>

#include <stackless/memory_error.hpp>
#include <stackless/scheduler.hpp>

#include "core/access.hpp"
#include "core/extras.hpp"
#include "core/idle.hpp"
#include "core/scheduler.hpp"

STACKLESS_BEGIN
namespace detail {

class uv_events;

namespace {

using time_point = event_clock::time_point;

// The picklable heap, which operator new may allocate from, is no place for what the kernel and libuv keep addresses
// of: a snapshot would carry it away. libuv allocates by malloc, and so does everything here.
template <class T>
struct from_malloc {
  using value_type = T;

  from_malloc() = default;
  template <class U>
  from_malloc(const from_malloc<U>&) noexcept {}

  T* allocate(std::size_t n) {
    if (void* block = std::malloc(n * sizeof(T))) return static_cast<T*>(block);
    throw memory_error("out of memory: malloc refused %zu bytes to an event loop", n * sizeof(T));
  }
  void deallocate(T* block, std::size_t) noexcept { std::free(block); }

  friend bool operator==(from_malloc, from_malloc) { return true; }
};

using record_list = std::vector<record*, from_malloc<record*>>;

/// A descriptor and who waits for it. libuv allows one handle for each.
struct watched {
  uv_poll_t handle{};
  int active = 0;  ///< what the kernel is asked for: UV_READABLE | UV_WRITABLE
  int kept = 0;    ///< by so many objects of class descriptor
  record_list readers, writers;

  int wanted() const { return (readers.empty() ? 0 : UV_READABLE) | (writers.empty() ? 0 : UV_WRITABLE); }
  record_list& waiters(awaited_event::kind what) {
    return what == awaited_event::kind::readable ? readers : writers;
  }

  static void* operator new(std::size_t) { return from_malloc<watched>().allocate(1); }
  static void operator delete(void* block) { std::free(block); }
};

/// What libuv refuses only if this file uses it wrongly stops the program.
void check(int status, const char* call) noexcept {
  if (status == 0) return;
  std::fprintf(stderr, "stackless: internal error: %s: %s\n", call, uv_strerror(status));
  std::abort();
}

/// Null before anybody has waited in this thread, and when it ends.
constinit thread_local uv_events* existing = nullptr;

}  // namespace

/// The loop of a thread. It knows who waits by address, and what it finds there are plain values: nothing that a tasklet
/// keeps while it waits leads here, so that it means the same in a process where another loop is asked.
class uv_events final : public event_loop {
 public:
  /// Made at first use. Throws std::system_error.
  static uv_events& of_this_thread();

  bool awaited() const noexcept override;
  void poll(std::chrono::milliseconds at_most) override;
  void interrupt() noexcept override { uv_async_send(&interruption_); }

  /// `r` is about to wait for what its extras say. Throws descriptor_error; disarm() takes back what was begun.
  void arm(record* r);
  void arm(deadline* d) { timers_.emplace(d->time, d); }
  void arm(appointment* a) { timers_.emplace(a->time, a); }

  /// Nothing if it was not armed here.
  void disarm(record* r) noexcept;
  void disarm(deadline* d) noexcept { forget(d->time, d); }
  void disarm(appointment* a) noexcept { forget(a->time, a); }

  void keep(int fd) { ++watch(fd)->second->kept; }
  void unkeep(int fd) noexcept;

 private:
  template <class Key, class Value>
  using pair_from_malloc = from_malloc<std::pair<const Key, Value>>;
  using descriptors = std::unordered_map<int, std::unique_ptr<watched>, std::hash<int>, std::equal_to<>,
                                         pair_from_malloc<int, std::unique_ptr<watched>>>;
  using timer = std::variant<record*, deadline*, appointment*>;
  using timers = std::multimap<time_point, timer, std::less<>, pair_from_malloc<time_point, timer>>;

  uv_events();
  ~uv_events();

  descriptors::iterator watch(int fd);
  void drop_unless_used(descriptors::iterator) noexcept;
  static void ask_kernel(watched&, int events) noexcept;
  void happened(watched&, int status, int events) noexcept;
  void wake(record* r, bool timed_out) noexcept;

  void forget(time_point, timer) noexcept;
  static bool keeps_thread(timer) noexcept;
  static bool has_to_wait(timer) noexcept;
  void ring_those_due();
  // Each takes out its timer.
  void ring(record* r) noexcept { wake(r, true); }
  void ring(deadline*);
  void ring(appointment*);
  std::uint64_t milliseconds_to(time_point) noexcept;

  uv_loop_t loop_{};
  uv_async_t interruption_{};
  uv_timer_t alarm_clock_{};
  bool interrupted_ = false;
  std::size_t waiters_ = 0;  ///< at all descriptors
  descriptors descriptors_;
  timers timers_;
};

uv_events& uv_events::of_this_thread() {
  here();  // which is to outlive the loop
  thread_local uv_events events;
  return events;
}

uv_events::uv_events() {
  if (const int status = uv_loop_init(&loop_); status != 0) {
    throw std::system_error(-status, std::generic_category(), "no event loop for this thread");
  }
  loop_.data = this;
  const auto interrupted = [](uv_async_t* a) { static_cast<uv_events*>(a->loop->data)->interrupted_ = true; };
  if (const int status = uv_async_init(&loop_, &interruption_, interrupted); status != 0) {
    uv_loop_close(&loop_);
    throw std::system_error(-status, std::generic_category(), "no event loop for this thread");
  }
  uv_timer_init(&loop_, &alarm_clock_);
  // A child of fork() shares what the kernel keeps for its parent, until it makes its own.
  static const int once = pthread_atfork(nullptr, nullptr, [] {
    if (existing != nullptr) check(uv_loop_fork(&existing->loop_), "uv_loop_fork");
  });
  check(-once, "pthread_atfork");
  existing = this;
  wait_in(here(), this);
}

uv_events::~uv_events() {
  existing = nullptr;
  wait_in(here(), nullptr);
  for (auto at = descriptors_.begin(); at != descriptors_.end();) {
    watched& w = *at->second;
    w.kept = 0;
    w.readers.clear();
    w.writers.clear();
    drop_unless_used(at++);
  }
  uv_close(reinterpret_cast<uv_handle_t*>(&alarm_clock_), nullptr);
  uv_close(reinterpret_cast<uv_handle_t*>(&interruption_), nullptr);
  uv_run(&loop_, UV_RUN_DEFAULT);
  check(uv_loop_close(&loop_), "uv_loop_close");
}

bool uv_events::awaited() const noexcept {
  return waiters_ != 0 || std::ranges::any_of(timers_, [](const auto& entry) { return keeps_thread(entry.second); });
}

void uv_events::poll(std::chrono::milliseconds at_most) {
  const bool has_time = at_most.count() > 0, blocks = has_time && !interrupted_;
  if (blocks) {
    auto wait = static_cast<std::uint64_t>(at_most.count());
    if (!timers_.empty()) wait = std::min(wait, milliseconds_to(timers_.begin()->first));
    // uv_run() rings before it waits as well as after; it is not to wait then.
    const auto stop = [](uv_timer_t* clock) { uv_stop(clock->loop); };
    uv_timer_start(&alarm_clock_, stop, wait, 0);
  }
  uv_run(&loop_, blocks ? UV_RUN_ONCE : UV_RUN_NOWAIT);
  uv_timer_stop(&alarm_clock_);
  if (has_time) interrupted_ = false;
  // After the descriptors: one that is ready in time counts as ready.
  ring_those_due();
}

void uv_events::arm(record* r) {
  const awaited_event& e = r->extras->awaits;
  if (e.what != awaited_event::kind::time) {
    watched& w = *watch(e.descriptor)->second;
    w.waiters(e.what).push_back(r);
    ++waiters_;
    if ((w.wanted() & ~w.active) != 0) ask_kernel(w, w.wanted());
  }
  if (e.what == awaited_event::kind::time || e.deadline != time_point::max()) timers_.emplace(e.deadline, r);
}

void uv_events::disarm(record* r) noexcept {
  const awaited_event& e = r->extras->awaits;
  forget(e.deadline, r);
  if (e.what == awaited_event::kind::time) return;
  const auto at = descriptors_.find(e.descriptor);
  if (at == descriptors_.end()) return;
  waiters_ -= std::erase(at->second->waiters(e.what), r);
  drop_unless_used(at);
}

void uv_events::unkeep(int fd) noexcept {
  const auto at = descriptors_.find(fd);
  if (at == descriptors_.end() || at->second->kept == 0) return;
  --at->second->kept;
  drop_unless_used(at);
}

uv_events::descriptors::iterator uv_events::watch(int fd) {
  const auto [at, fresh] = descriptors_.try_emplace(fd);
  if (!fresh) return at;
  // libuv makes the descriptor one that does not block. Others may have it open, too.
  const int flags = fcntl(fd, F_GETFL);
  try {
    at->second = std::make_unique<watched>();
    const int status = uv_poll_init(&loop_, &at->second->handle, fd);
    if (status != 0) throw descriptor_error(fd, std::error_code(-status, std::generic_category()));
  } catch (...) {
    descriptors_.erase(at);
    throw;
  }
  if ((flags & O_NONBLOCK) == 0) fcntl(fd, F_SETFL, flags);
  at->second->handle.data = at->second.get();
  return at;
}

void uv_events::drop_unless_used(descriptors::iterator at) noexcept {
  if (at->second->kept != 0 || at->second->wanted() != 0) return;
  auto* handle = reinterpret_cast<uv_handle_t*>(&at->second.release()->handle);
  descriptors_.erase(at);
  uv_close(handle, [](uv_handle_t* closed) { delete static_cast<watched*>(closed->data); });
}

void uv_events::ask_kernel(watched& w, int events) noexcept {
  w.active = events;
  const auto callback = [](uv_poll_t* handle, int status, int happening) {
    static_cast<uv_events*>(handle->loop->data)->happened(*static_cast<watched*>(handle->data), status, happening);
  };
  // With no events it stops.
  check(uv_poll_start(&w.handle, events, callback), "uv_poll_start");
}

void uv_events::happened(watched& w, int status, int events) noexcept {
  if (status != 0) {
    // An error of the descriptor: whoever reads or writes is told. libuv has stopped watching.
    w.active = 0;
    events = UV_READABLE | UV_WRITABLE;
  } else if ((events & ~w.wanted()) != 0) {
    ask_kernel(w, w.wanted());  // or else it would tell again and again what nobody waits for
  }
  // libuv frees `w` after this, even if the last one does not need it any more.
  if ((events & UV_READABLE) != 0) {
    while (!w.readers.empty()) wake(w.readers.front(), false);
  }
  if ((events & UV_WRITABLE) != 0) {
    while (!w.writers.empty()) wake(w.writers.front(), false);
  }
}

void uv_events::wake(record* r, bool timed_out) noexcept {
  disarm(r);
  r->extras->awaits.timed_out = timed_out;
  r->extras->awaits.come.open(*r->owner);
}

void uv_events::forget(time_point at, timer what) noexcept {
  const auto [first, last] = timers_.equal_range(at);
  const auto found = std::find_if(first, last, [&](const auto& entry) { return entry.second == what; });
  if (found != last) timers_.erase(found);
}

/// The timeout of a tasklet that runs others does not keep it: it returns when nobody else waits.
bool uv_events::keeps_thread(timer t) noexcept {
  deadline* const* limit = std::get_if<deadline*>(&t);
  return limit == nullptr || tasklet_access::record((*limit)->whose)->state != state::running_others;
}

/// One thing can be thrown at a time.
bool uv_events::has_to_wait(timer t) noexcept {
  deadline* const* limit = std::get_if<deadline*>(&t);
  return limit != nullptr && tasklet_access::record((*limit)->whose)->wake != wake::normally;
}

void uv_events::ring_those_due() {
  const time_point now = event_clock::now();
  for (auto next = timers_.begin(); next != timers_.end() && next->first <= now;) {
    if (has_to_wait(next->second)) {
      ++next;
      continue;
    }
    std::visit([&](auto* due) { ring(due); }, next->second);
    next = timers_.begin();  // a callback of the program may have changed the rest, too
  }
}

void uv_events::ring(appointment* a) {
  disarm(a);
  a->signal.try_send();
}

void uv_events::ring(deadline* d) {
  disarm(d);
  d->expired = true;
  if (!d->whose.alive()) return;
  d->whose.throw_exception(
      std::make_exception_ptr(timeout_error("the time is up that a stackless::timeout of this tasklet has set")),
      when::pending);
}

/// As the loop counts time: when it has so many more, the time has come.
std::uint64_t uv_events::milliseconds_to(time_point at) noexcept {
  uv_update_time(&loop_);
  const auto then = static_cast<std::uint64_t>(
      std::max<std::int64_t>(0, std::chrono::ceil<std::chrono::milliseconds>(at.time_since_epoch()).count()));
  const std::uint64_t now = uv_now(&loop_);
  return then > now ? then - now : 0;
}

namespace {

using kind = awaited_event::kind;

time_point after(std::chrono::nanoseconds duration) {
  const time_point now = event_clock::now();
  return duration < time_point::max() - now ? now + duration : time_point::max();
}

time_point after(std::optional<std::chrono::nanoseconds> duration) {
  return duration ? after(*duration) : time_point::max();
}

// Out of line: who waits may go on where what is thread-local has another address.
template <class Waiting>
[[gnu::noinline]] void arm(Waiting* w) {
  uv_events& events = uv_events::of_this_thread();
  keep_idler(here());
  events.arm(w);
}

template <class Waiting>
[[gnu::noinline]] void disarm(Waiting* w) noexcept {
  if (existing != nullptr) existing->disarm(w);
}

class armed {
 public:
  explicit armed(record* r) : r_(r) {
    try {
      arm(r);
    } catch (...) {
      disarm(r);
      throw;
    }
  }
  ~armed() { disarm(r_); }
  armed(const armed&) = delete;
  armed& operator=(const armed&) = delete;

 private:
  record* r_;
};

/// The current tasklet waits. False if the deadline came first.
bool await(kind what, int fd, time_point deadline) {
  scheduler& s = begin();
  record* me = s.current;
  awaited_event& mine = extras_of(me).awaits;
  mine.what = what;
  mine.descriptor = fd;
  mine.deadline = deadline;
  mine.timed_out = false;
  const armed until_woken(me);
  mine.come.wait_for_opening(s);
  return !mine.timed_out;
}

std::string explain(int fd, const std::error_code& why) {
  const char* advice = why == std::errc::bad_file_descriptor ? "keep it open while it is waited for"
                       : why == std::errc::operation_not_permitted
                           ? "files and folders are always ready; read and write them without waiting"
                           : "epoll_ctl(2) knows this error";
  return "descriptor " + std::to_string(fd) + " cannot be waited for: " + why.message() + ": " + advice;
}

}  // namespace
}  // namespace detail

descriptor_error::descriptor_error(int descriptor, std::error_code why)
    : error(detail::explain(descriptor, why)), descriptor_(descriptor), code_(why) {}

void sleep_until(event_clock::time_point t) {
  if (t <= event_clock::now()) return schedule();
  detail::await(detail::kind::time, -1, t);
}

void sleep_for(std::chrono::nanoseconds duration) { sleep_until(detail::after(duration)); }

bool wait_readable(int fd, std::optional<std::chrono::nanoseconds> timeout) {
  return wait_readable(fd, detail::after(timeout));
}

bool wait_readable(int fd, event_clock::time_point deadline) {
  return detail::await(detail::kind::readable, fd, deadline);
}

bool wait_writable(int fd, std::optional<std::chrono::nanoseconds> timeout) {
  return wait_writable(fd, detail::after(timeout));
}

bool wait_writable(int fd, event_clock::time_point deadline) {
  return detail::await(detail::kind::writable, fd, deadline);
}

descriptor::descriptor(int fd) : fd_(fd) { detail::uv_events::of_this_thread().keep(fd); }

descriptor::~descriptor() {
  if (fd_ >= 0 && detail::existing != nullptr) detail::existing->unkeep(fd_);
}

timeout::timeout(event_clock::time_point t) : set_(heap::make<detail::deadline>(t)) { detail::arm(set_.get()); }

timeout::timeout(std::chrono::nanoseconds duration) : timeout(detail::after(duration)) {}

timeout::~timeout() { detail::disarm(set_.get()); }

alarm::alarm(event_clock::time_point t) : set_(heap::make<detail::appointment>(t)) { detail::arm(set_.get()); }

alarm::alarm(std::chrono::nanoseconds duration) : alarm(detail::after(duration)) {}

alarm::~alarm() { detail::disarm(set_.get()); }

STACKLESS_END
