#include "serialize/classify.hpp"

#include <sys/mman.h>

#include <cerrno>

#if defined(__aarch64__)
extern "C" std::uintptr_t __stack_chk_guard;
#endif

STACKLESS_BEGIN
namespace snapshot {
namespace {

// The lowest address a program's memory has, and the end of those that user space gets without asking for more.
#if STACKLESS_ASAN && defined(__x86_64__)
constexpr std::uintptr_t lowest_address = 0x1000'7fff'8000;  // its shadow lies below, where short strings lead to
#else
constexpr std::uintptr_t lowest_address = 0x1'0000;
#endif
constexpr std::uintptr_t end_of_addresses = std::uintptr_t{1} << 48;

// Around the thread pointer lies the C library's descriptor of the thread; compilers keep addresses into it.
constexpr std::intptr_t thread_descriptor = 4096;

}  // namespace

std::uintptr_t thread_pointer() {
  std::uintptr_t tp;
#if defined(__x86_64__)
  asm("movq %%fs:0, %0" : "=r"(tp));
#else
  asm("mrs %0, tpidr_el0" : "=r"(tp));
#endif
  return tp;
}

std::uintptr_t canary() {
#if defined(__x86_64__)
  std::uintptr_t guard;
  asm("movq %%fs:0x28, %0" : "=r"(guard));
  return guard;
#else
  return __stack_chk_guard;
#endif
}

value classifier::classify(std::uintptr_t word) {
  const value as_it_is{.number = word};
  if (word < lowest_address) return as_it_is;
  if (word == canary()) return {.means = meaning::canary};
  if (word >= end_of_addresses) return as_it_is;
  if (arch::region::contains(word)) {
    for (const meaning m : {meaning::foreign, meaning::stranger}) {
      if (word == poison_of(m)) return {.means = m};
    }
    return as_it_is;
  }
  const auto all = modules_.all();
  if (const auto m = modules_.find(word)) {
    return {.means = meaning::module, .index = *m, .number = word - all[*m].begin};
  }
  if (const auto m = modules_.find_tls(word)) {
    return {.means = meaning::thread_local_, .index = *m, .number = word - modules_.tls(*m)};
  }
  const auto from_thread = static_cast<std::intptr_t>(word - thread_pointer());
  if (from_thread > -thread_descriptor && from_thread < thread_descriptor) {
    return {.means = meaning::thread_pointer, .number = static_cast<std::uint64_t>(from_thread)};
  }
  return mapped(word) ? value{.means = meaning::foreign} : as_it_is;
}

bool classifier::mapped(std::uintptr_t word) {
  const std::uintptr_t page = word / page_ * page_;
  const auto [known, is_new] = mapped_.try_emplace(page);
  if (is_new) {
    unsigned char resident;
    known->second = mincore(reinterpret_cast<void*>(page), 1, &resident) == 0 || errno != ENOMEM;  // to be on the safe side
  }
  return known->second;
}

}  // namespace snapshot
STACKLESS_END
