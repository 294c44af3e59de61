#pragma once

#include <memory_resource>

#include <stackless/config.hpp>

STACKLESS_BEGIN
namespace snapshot {

/// Memory for the work of saving and restoring. It never comes from the picklable heap, so that this work neither
/// shows in what is saved nor sits where something has to be restored.
std::pmr::memory_resource* scratch() noexcept;

}  // namespace snapshot
STACKLESS_END
