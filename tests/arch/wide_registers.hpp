#pragma once

#include <stackless/switch.hpp>

/// True if this CPU has the vector registers that wide_registers.cpp is compiled for.
bool has_wide_registers();

/// Clears those registers.
void clear_wide_registers();

/// True if values in vector and predicate registers are what they were after a trip there and back.
bool wide_registers_survive(stackless::arch::context* here, stackless::arch::context* there);
