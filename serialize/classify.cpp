#include "serialize/classify.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <string_view>

#include "serialize/file.hpp"

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
  if (mappings_.empty()) {
    const int maps = open("/proc/self/maps", O_RDONLY | O_CLOEXEC);
    if (maps < 0) return true;  // to be on the safe side
    const auto bytes = read_fd(maps, "/proc/self/maps");
    close(maps);
    std::string_view text(reinterpret_cast<const char*>(bytes.data()), bytes.size());
    while (!text.empty()) {
      range r{};
      const char* end = text.data() + text.size();
      const auto first = std::from_chars(text.data(), end, r.begin, 16);
      if (first.ptr == end || *first.ptr != '-') break;
      std::from_chars(first.ptr + 1, end, r.end, 16);
      mappings_.push_back(r);
      text.remove_prefix(std::min(text.find('\n'), text.size() - 1) + 1);
    }
  }
  const auto after = std::ranges::upper_bound(mappings_, word, {}, &range::end);
  return after != mappings_.end() && word >= after->begin;
}

}  // namespace snapshot
STACKLESS_END
