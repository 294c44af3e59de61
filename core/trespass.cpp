#include "core/trespass.hpp"

#include <cstdint>

#include <stackless/detail/scheduler.hpp>

#include "core/last_words.hpp"
#include "core/slot.hpp"

STACKLESS_BEGIN
namespace detail {
namespace {

/// Whose closed stack the address is on; nullptr: nobody's.
const record* owner_of(std::uintptr_t word) noexcept {
  const arch::extent* const there = arch::region::find(word);
  if (there == nullptr || there->kind != extent_kind::slot) return nullptr;
  const slot& s = static_cast<const slot&>(*there);
  return s.closed && word >= s.floor() ? s.sole_tenant : nullptr;
}

}  // namespace

void report_trespass(const void* address) noexcept {
  const auto word = reinterpret_cast<std::uintptr_t>(address);
  const record* const whose = owner_of(word);
  if (whose == nullptr) return;
  const scheduler& s = mine();
  last_words w;
  w << "stackless: error: ";
  if (s.current == nullptr) {
    w << "a thread without tasklets";
  } else if (s.current == &s.main) {
    w << "the main tasklet";
  } else {
    w << s.current;
  }
  w << " used " << hexadecimal{word} << " on the sliced stack of " << whose
    << ", which is parked: with shared slots another tasklet's variables are there; keep what others reach in the heap, "
       "or give the tasklet a stack of its own\n";
  w.write_to(STDERR_FILENO);
}

}  // namespace detail
STACKLESS_END
