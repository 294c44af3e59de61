#pragma once

#define UNW_LOCAL_ONLY
#include <libunwind.h>

/// libunwind 1.6.2 goes astray where return addresses are signed (AArch64, -mbranch-protection=standard), and
/// may crash. libgcc's unwinder does not: it is tested there as well.
#if defined(__ARM_FEATURE_PAC_DEFAULT)
inline constexpr bool libunwind_follows = false;
#else
inline constexpr bool libunwind_follows = true;
#endif
