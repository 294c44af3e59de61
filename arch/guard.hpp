#pragma once

/// Guards: runs of pages where an access is a fault, for programs and for the kernel on their behalf. And memory that is
/// closed for a while, and keeps its bytes.

#include <cstddef>
#include <stackless/memory_error.hpp>

STACKLESS_BEGIN
namespace arch::guard {

/// A guard is so long, or a multiple of it.
std::size_t page_size() noexcept;

/// Makes [begin, begin + bytes) a guard. How (marks in the page table, or a mapping of its own) is probed once
/// with a system call that has to fail, because emulators claim success for guards they do not install.
/// Throws memory_error, naming the limit, when a guard cannot be had.
void install(void* begin, std::size_t bytes);

/// No page of [begin, begin + bytes) is a guard any more. False if the kernel refuses.
bool remove(void* begin, std::size_t bytes) noexcept;

/// Nobody can access [begin, begin + bytes) until it is opened: with AddressSanitizer an access is an error that it
/// reports, else it is a fault. Throws memory_error, naming the limit, when the kernel refuses.
void close(void* begin, std::size_t bytes);
void open(void* begin, std::size_t bytes);

/// Whether the kernel faults when it reads the page at `page` on the program's behalf.
bool faults(const void* page) noexcept;

}  // namespace arch::guard
STACKLESS_END
