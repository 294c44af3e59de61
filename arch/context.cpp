#include <stackless/context.hpp>

STACKLESS_BEGIN
namespace arch {

extern "C" void stackless_trampoline();

context fresh_context(void* top, entry start) noexcept {
  return {.pc = reinterpret_cast<void*>(&stackless_trampoline),
          .sp = top,
          .fp = nullptr,
          .base = reinterpret_cast<void*>(start)};
}

}  // namespace arch
STACKLESS_END
