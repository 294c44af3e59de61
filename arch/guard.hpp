#pragma once

/// Guard pages: an access to one is a fault, for programs and for the kernel on their behalf.

#include <cstddef>
#include <stackless/memory_error.hpp>

STACKLESS_BEGIN
namespace arch::guard {

/// Bytes of one guard: a page.
std::size_t size() noexcept;

/// Makes the page at `page` a guard. How (a mark in the page table, or a mapping of its own) is probed once
/// with a system call that has to fail, because emulators claim success for guards they do not install.
/// Throws memory_error, naming the limit, when a guard cannot be had.
void install(void* page);

/// No page of [begin, begin + bytes) is a guard any more. False if the kernel refuses.
bool remove(void* begin, std::size_t bytes) noexcept;

/// Whether the kernel faults when it reads the page at `page` on the program's behalf.
bool faults(const void* page) noexcept;

}  // namespace arch::guard
STACKLESS_END
