#pragma once

/// What a function ends by, for those who keep it to tell somebody else.

#include <exception>

#include <stackless/error.hpp>

STACKLESS_BEGIN
namespace detail {

/// Calls `f`. Returns what it throws, or nothing. TaskletExit passes, and so does what is not of C++, such as the end
/// of the thread.
template <class F>
std::exception_ptr failure_of(F f) {
  try {
    f();
  } catch (const TaskletExit&) {
    throw;
  } catch (...) {
    std::exception_ptr failure = std::current_exception();
    if (failure == nullptr) throw;
    return failure;
  }
  return nullptr;
}

}  // namespace detail
STACKLESS_END
