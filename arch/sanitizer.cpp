#include <stackless/sanitizer.hpp>

#include <pthread.h>

STACKLESS_BEGIN
namespace arch {

sanitized_stack thread_stack() {
  sanitized_stack s;
#if STACKLESS_ASAN
  pthread_attr_t attributes;
  void* bottom = nullptr;
  if (pthread_getattr_np(pthread_self(), &attributes) == 0) {
    pthread_attr_getstack(&attributes, &bottom, &s.size);
    pthread_attr_destroy(&attributes);
  }
  s.bottom = bottom;
#elif STACKLESS_TSAN
  s.fiber = __tsan_get_current_fiber();
#endif
  return s;
}

}  // namespace arch
STACKLESS_END
