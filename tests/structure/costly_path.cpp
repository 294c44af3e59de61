// What must not be in the hot path, for the test that looks for it to find.

#include <atomic>
#include <stackless/switch.hpp>

extern "C" {

void costly_add(std::atomic<long>& n) {
  ++n;
}

long costly_exchange(std::atomic<long>& n, long value) {
  return n.exchange(value);
}

bool costly_compare(std::atomic<long>& n, long expected) {
  return n.compare_exchange_strong(expected, 0);
}

void costly_fence() {
  std::atomic_thread_fence(std::memory_order_seq_cst);
}

void elsewhere(long& n);

long calls_in_any_case(long n) {
  elsewhere(n);
  return n;
}

long kept_in_red_zone(stackless::arch::context& from, stackless::arch::context& to, long value) {
  const volatile long kept = value;
  stackless::arch::switch_to(&from, &to);
  return kept;
}
}
