#pragma once

/// What everybody agrees on at compile time: the version, the layout of what is inlined, sanitizers, limits.

#include <cstddef>
#include <cstdint>

#define STACKLESS_VERSION "0.1.0"

#if !defined(__linux__) || !(defined(__x86_64__) || defined(__aarch64__)) || !defined(__LP64__)
#error "stackless runs on 64-bit Linux, on x86-64 and AArch64"
#endif

#if defined(__SANITIZE_ADDRESS__)
#define STACKLESS_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define STACKLESS_ASAN 1
#endif
#endif
#ifndef STACKLESS_ASAN
#define STACKLESS_ASAN 0
#endif

#if defined(__SANITIZE_THREAD__)
#define STACKLESS_TSAN 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define STACKLESS_TSAN 1
#endif
#endif
#ifndef STACKLESS_TSAN
#define STACKLESS_TSAN 0
#endif

// Switches and records are inlined into the program, so their layout is part of the ABI. The name of this inline
// namespace changes with the layout and with what the sanitizers need at a switch: objects that disagree do not link.
#if STACKLESS_ASAN
#define STACKLESS_LAYOUT layout_1_asan
#elif STACKLESS_TSAN
#define STACKLESS_LAYOUT layout_1_tsan
#else
#define STACKLESS_LAYOUT layout_1
#endif

#define STACKLESS_BEGIN   \
  namespace stackless {   \
  inline namespace STACKLESS_LAYOUT {
#define STACKLESS_END \
  }                   \
  }
