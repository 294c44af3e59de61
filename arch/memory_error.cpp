#include <sys/resource.h>

#include <cerrno>
#include <cstdarg>
#include <cstdio>
#include <cstring>
#include <stackless/memory_error.hpp>

#include "arch/kernel.hpp"
#include "arch/region.hpp"

STACKLESS_BEGIN

memory_error::memory_error(const char* format, ...) noexcept {
  va_list arguments;
  va_start(arguments, format);
  std::vsnprintf(text_, sizeof text_, format, arguments);
  va_end(arguments);
}

namespace arch::region {
namespace {

[[noreturn]] void raise_refusal(const failure& f) {
  char where[40] = "";
  if (f.address != 0) std::snprintf(where, sizeof where, " at %#zx", static_cast<std::size_t>(f.address));
  rlimit limit = {};
  if (getrlimit(RLIMIT_AS, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY) {
    throw memory_error("cannot map %zu bytes%s: %s; RLIMIT_AS is %llu bytes (ulimit -v): raise it", f.bytes,
                       where, strerrordesc_np(f.error), static_cast<unsigned long long>(limit.rlim_cur));
  }
  throw memory_error(
      "cannot map %zu bytes%s: %s; see vm.max_map_count (%lld) and vm.overcommit_memory (%lld; 2 "
      "counts address space as memory)",
      f.bytes, where, strerrordesc_np(f.error), kernel_setting("/proc/sys/vm/max_map_count"),
      kernel_setting("/proc/sys/vm/overcommit_memory"));
}

}  // namespace

void failure::raise() const {
  switch (why) {
    case cause::too_large:
      throw memory_error("a block of %zu bytes: the largest there can be has %zu", bytes, largest_run);
    case cause::too_aligned:
      throw memory_error("a block aligned to %zu bytes: the largest alignment is %zu", bytes, granule_size);
    case cause::bad_arena:
      throw memory_error(
          "STACKLESS_ARENA names no address from %#zx to %#zx: set it to one, in hexadecimal, or unset it",
          static_cast<std::size_t>(region_begin), static_cast<std::size_t>(region_end));
    case cause::region_full:
      throw memory_error("no %zu bytes are free in the region from %#zx to %#zx", bytes,
                         static_cast<std::size_t>(region_begin), static_cast<std::size_t>(region_end));
    case cause::none:
    case cause::kernel:
      break;
  }
  raise_refusal(*this);
}

}  // namespace arch::region
STACKLESS_END
