#pragma once

/// Where tasklet records come from and how any word is asked whether it leads to one.

#include <cstdint>
#include <functional>

#include <stackless/detail/record.hpp>

STACKLESS_BEGIN
namespace records {

/// A fresh record. Throws memory_error.
detail::record* allocate();

/// A fresh record at its home. nullptr, and nothing changed, if something lives there. Throws memory_error.
detail::record* allocate_at(std::uintptr_t home);

void release(detail::record*) noexcept;

/// The live record whose bytes `word` points to; nullptr if none.
detail::record* find(std::uintptr_t word) noexcept;

/// Calls visit(record) for every live one, of all threads.
void for_each(const std::function<void(detail::record*)>& visit);

/// Those of this thread, without its main.
void for_each_of(const detail::scheduler&, const std::function<void(detail::record*)>& visit);

}  // namespace records
STACKLESS_END
