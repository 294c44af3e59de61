#pragma once

/// What AddressSanitizer and ThreadSanitizer have to be told about stacks. Without them it is all empty.

#include <cstddef>
#include <span>

#include <stackless/config.hpp>

#if STACKLESS_ASAN
extern "C" {
void __sanitizer_start_switch_fiber(void** fake_stack, const void* bottom, std::size_t size);
void __sanitizer_finish_switch_fiber(void* fake_stack, const void** old_bottom, std::size_t* old_size);
void __asan_unpoison_memory_region(const volatile void* begin, std::size_t size);
}
#elif STACKLESS_TSAN
extern "C" {
void* __tsan_get_current_fiber(void);
void* __tsan_create_fiber(unsigned flags);
void __tsan_destroy_fiber(void* fiber);
void __tsan_switch_to_fiber(void* fiber, unsigned flags);
}
#endif

STACKLESS_BEGIN
namespace arch {

/// What a sanitizer keeps for each stack.
struct sanitized_stack {
#if STACKLESS_ASAN
  const void* bottom = nullptr;
  std::size_t size = 0;
#elif STACKLESS_TSAN
  void* fiber = nullptr;
#endif
};

#if STACKLESS_ASAN

/// Lives across a switch in the frame that gives way.
class crossing {
 public:
  explicit crossing(const sanitized_stack& to) { __sanitizer_start_switch_fiber(&fake_stack_, to.bottom, to.size); }
  void arrived() { __sanitizer_finish_switch_fiber(fake_stack_, nullptr, nullptr); }

  /// The running stack will not be used again.
  static void last(const sanitized_stack& to) { __sanitizer_start_switch_fiber(nullptr, to.bottom, to.size); }
  /// The first thing on a fresh stack.
  static void first() { __sanitizer_finish_switch_fiber(nullptr, nullptr, nullptr); }

 private:
  void* fake_stack_ = nullptr;
};

#elif STACKLESS_TSAN

class crossing {
 public:
  explicit crossing(const sanitized_stack& to) { last(to); }
  void arrived() {}
  /// Not instrumented: it would be entered on one stack and left on the other, if it is not inlined.
  __attribute__((no_sanitize("thread"))) static void last(const sanitized_stack& to) {
    __tsan_switch_to_fiber(to.fiber, 0);
  }
  static void first() {}
};

#else

class crossing {
 public:
  explicit crossing(const sanitized_stack&) {}
  void arrived() {}
  static void last(const sanitized_stack&) {}
  static void first() {}
};

#endif

/// Fills in what is known of the stack that a fresh tasklet will run on. `bytes()` says which it is, to those who need
/// to know.
template <class Bytes>
void adopt_stack([[maybe_unused]] sanitized_stack& s, [[maybe_unused]] Bytes bytes) {
#if STACKLESS_ASAN
  const std::span<std::byte> b = bytes();
  s = {.bottom = b.data(), .size = b.size()};
#elif STACKLESS_TSAN
  s.fiber = __tsan_create_fiber(0);
#endif
}

/// The stack is idle, and another one is running.
inline void drop_stack([[maybe_unused]] sanitized_stack& s) {
#if STACKLESS_TSAN
  if (s.fiber != nullptr) __tsan_destroy_fiber(s.fiber);
#endif
  s = {};
}

/// The frames of that stack are skipped by somebody who stands on another one.
inline void forget_frames([[maybe_unused]] const sanitized_stack& s) {
#if STACKLESS_ASAN
  __asan_unpoison_memory_region(s.bottom, s.size);
#endif
}

/// The stack that the thread was born with.
sanitized_stack thread_stack();

}  // namespace arch
STACKLESS_END
