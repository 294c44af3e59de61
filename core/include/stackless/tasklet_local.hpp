#pragma once

/// Values that each tasklet has of its own, as thread_local variables are to threads.
///
///   stackless::tasklet_local<int> depth(0);
///   *depth += 1;                              // of the tasklet that runs
///
/// A new tasklet begins with copies of the values of the one that made it. Its values go when it ends.

#include <any>
#include <utility>

#include <stackless/detail/scheduler.hpp>
#include <stackless/tasklet.hpp>

STACKLESS_BEGIN

template <class T>
class tasklet_local {
 public:
  explicit tasklet_local(T initial = T()) : initial_(std::move(initial)) {}
  ~tasklet_local() { detail::forget_local(this); }
  tasklet_local(const tasklet_local&) = delete;
  tasklet_local& operator=(const tasklet_local&) = delete;

  /// The current tasklet's.
  T& operator*() {
    std::any& value = detail::local_value(detail::here().current, this);
    if (!value.has_value()) value = initial_;
    return *std::any_cast<T>(&value);
  }
  T* operator->() { return &**this; }

 private:
  T initial_;
};

STACKLESS_END
