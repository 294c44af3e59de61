#include "core/overflow.hpp"

#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <charconv>
#include <cstdint>

#include <stackless/detail/scheduler.hpp>

#include "arch/overflow.hpp"
#include "core/extras.hpp"
#include "core/slot.hpp"

STACKLESS_BEGIN
namespace {

constinit std::atomic<overflow_callback> hook = nullptr;
constinit std::atomic<bool> unwanted = false;

/// A text that is put together and written where nothing may be allocated. What is too long is cut.
class message {
 public:
  message& operator<<(std::string_view piece) noexcept {
    const std::size_t fits = std::min(piece.size(), sizeof text_ - length_);
    std::copy_n(piece.data(), fits, text_ + length_);
    length_ += fits;
    return *this;
  }
  message& operator<<(std::size_t number) noexcept {
    char digits[20];
    return *this << std::string_view(digits, std::to_chars(digits, digits + sizeof digits, number).ptr);
  }
  void write_to(int descriptor) const noexcept {
    [[maybe_unused]] const ssize_t written = write(descriptor, text_, length_);
  }

 private:
  char text_[1024];
  std::size_t length_ = 0;
};

void report(const overflow& o, bool sliced) noexcept {
  constexpr std::size_t longest_name = 500;
  message m;
  m << "stackless: stack overflow in ";
  if (o.name.empty()) {
    m << "a tasklet without a name";
  } else {
    m << "tasklet '" << o.name.substr(0, longest_name) << "'";
  }
  m << ": its stack of " << o.stack_size
    << " bytes is used up; give it more with " << (sliced ? "shared_slots" : "tasklet_options")
    << "::stack_size, or look for a recursion that does not end\n";
  m.write_to(STDERR_FILENO);
}

/// A fault is an overflow if it is on the guard of the tasklet that runs; another's guard was hit by a wild pointer.
void see_fault(const void* address) noexcept {
  const detail::record* const r = detail::mine().current;
  if (r == nullptr || r->stack == nullptr) return;
  const slot& s = *r->stack;
  const auto at = reinterpret_cast<std::uintptr_t>(address);
  if (at < s.begin || at >= s.floor()) return;
  const overflow o{.name = r->extras != nullptr ? std::string_view(r->extras->name) : std::string_view(),
                   .stack_size = s.room(),
                   .address = address};
  report(o, r->sliced);
  if (const overflow_callback callback = hook.load(std::memory_order_acquire)) callback(o);
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
