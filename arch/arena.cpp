#include "arch/arena.hpp"

#include <sys/auxv.h>
#include <time.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>

extern "C" void* __libc_stack_end;  // where the kernel put argc

STACKLESS_BEGIN
namespace arch::arena {
namespace {

constexpr char variable[] = "STACKLESS_ARENA=";

/// The environment as the kernel passed it: functions of .preinit_array run before the C library knows it.
char** initial_environment() noexcept {
  const auto* argc = static_cast<const long*>(__libc_stack_end);
  return reinterpret_cast<char**>(const_cast<long*>(argc)) + 1 + *argc + 1;
}

const char* setting() noexcept {
  if (getauxval(AT_SECURE) != 0) return nullptr;
  char** const variables = environ != nullptr ? environ : initial_environment();
  for (char** each = variables; *each != nullptr; ++each) {
    if (std::strncmp(*each, variable, sizeof variable - 1) == 0) return *each + sizeof variable - 1;
  }
  return nullptr;
}

std::uint64_t mix(std::uint64_t word) noexcept {
  word = (word ^ (word >> 30)) * 0xbf58'476d'1ce4'e5b9;
  word = (word ^ (word >> 27)) * 0x94d0'49bb'1331'11eb;
  return word ^ (word >> 31);
}

}  // namespace

std::size_t random_start() noexcept {
  // The kernel's 16 random bytes also make the stack protector's secret, so only a hash of them may show. The
  // process id and the clock tell a forked child from its parent.
  std::uint64_t random[2] = {};
  if (const auto* bytes = reinterpret_cast<const void*>(getauxval(AT_RANDOM))) {
    std::memcpy(random, bytes, sizeof random);
  }
  timespec now = {};
  clock_gettime(CLOCK_MONOTONIC, &now);
  const auto moment = static_cast<std::uint64_t>(now.tv_nsec) << 32 | static_cast<std::uint32_t>(getpid());
  const std::uint64_t seed = mix(mix(random[0]) ^ random[1]) ^ mix(moment);
  return mix(seed) % (region::chunk_count / 4 * 3);
}

bool start(std::size_t& chunk, region::failure& why) noexcept {
  const char* text = setting();
  if (text == nullptr || *text == 0) {
    chunk = random_start();
    return true;
  }
  char* end = nullptr;
  const std::uintptr_t address = std::strtoull(text, &end, 16);
  if (*end != 0 || !region::contains(address)) {
    why = {.why = region::failure::cause::bad_arena, .address = address};
    return false;
  }
  chunk = (address - region_begin) / chunk_size;
  return true;
}

}  // namespace arch::arena
STACKLESS_END
