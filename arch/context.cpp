#include <stackless/context.hpp>

STACKLESS_BEGIN
namespace arch {

extern "C" void stackless_detour();

context detoured_context(void* top, detour by) noexcept {
  return {.pc = reinterpret_cast<void*>(&stackless_detour),
          .sp = top,
          .fp = nullptr,
          .base = reinterpret_cast<void*>(by)};
}

bool is_detoured(const context& c) noexcept { return c.pc == reinterpret_cast<void*>(&stackless_detour); }

}  // namespace arch
STACKLESS_END
