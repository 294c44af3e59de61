#include "core/overflow.hpp"

#include <unistd.h>

#include <atomic>
#include <cstdint>

#include <stackless/detail/scheduler.hpp>

#include "arch/overflow.hpp"
#include "core/last_words.hpp"
#include "core/slot.hpp"
#include "core/trespass.hpp"

STACKLESS_BEGIN
namespace {

constinit std::atomic<overflow_callback> hook = nullptr;
constinit std::atomic<bool> unwanted = false;

void report_overflow(const detail::record* r, const void* address) noexcept {
  const overflow o{.name = detail::name_of(r), .stack_size = r->stack->room(), .address = address};
  detail::last_words w;
  w << "stackless: stack overflow in " << r << ": its stack of " << o.stack_size
    << " bytes is used up; give it more with " << (r->sliced ? "shared_slots" : "tasklet_options")
    << "::stack_size, or look for a recursion that does not end\n";
  w.write_to(STDERR_FILENO);
  if (const overflow_callback callback = hook.load(std::memory_order_acquire)) callback(o);
}

/// The address is on the guard of a tasklet that runs; another's guard is hit by wild pointers only.
bool is_overflow(const detail::record* r, const void* address) noexcept {
  if (r == nullptr || r->stack == nullptr) return false;
  const auto at = reinterpret_cast<std::uintptr_t>(address);
  return at >= r->stack->begin && at < r->stack->floor();
}

void see_fault(const void* address) noexcept {
  const detail::record* const r = detail::mine().current;
  if (is_overflow(r, address)) {
    report_overflow(r, address);
  } else {
    detail::report_trespass(address);
  }
}

}  // namespace

void detail::watch_for_overflows() noexcept {
  if (unwanted.load(std::memory_order_relaxed)) return;
  arch::overflow::watch_unless_handled(see_fault);
  if (arch::overflow::watches()) arch::overflow::provide_alternate_stack();
}

overflow_callback overflow_hook(overflow_callback callback) noexcept {
  return hook.exchange(callback, std::memory_order_acq_rel);
}

void report_overflows(bool on) noexcept {
  unwanted.store(!on, std::memory_order_relaxed);
  if (!on) return arch::overflow::stop_watching();
  arch::overflow::watch(see_fault);
  arch::overflow::provide_alternate_stack();
}

STACKLESS_END
