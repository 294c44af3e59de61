#pragma once

/// Tasklets that return something.
///
///   stackless::result<int> r([] { return 7; });
///   int seven = r.get();                      // waits until the tasklet has ended

#include <concepts>
#include <exception>
#include <functional>
#include <memory>
#include <memory_resource>
#include <optional>
#include <type_traits>
#include <utility>

#include <stackless/detail/failure.hpp>
#include <stackless/error.hpp>
#include <stackless/heap.hpp>
#include <stackless/tasklet.hpp>

STACKLESS_BEGIN

/// A tasklet and what it will return. What leaves the tasklet uncaught is thrown by get(), and by nobody else.
template <class R>
class result {
  struct outcome {
    std::optional<std::conditional_t<std::is_void_v<R>, std::true_type, R>> value;
    std::exception_ptr failure;
  };

 public:
  template <class F, class... Args>
    requires(!std::same_as<std::remove_cvref_t<F>, result> &&
             std::is_invocable_r_v<R, std::decay_t<F>, std::decay_t<Args>...>)
  explicit result(F&& f, Args&&... args)
      : outcome_(std::allocate_shared<outcome>(std::pmr::polymorphic_allocator<outcome>(heap::memory_resource()))),
        tasklet_(
            [into = outcome_](std::decay_t<F>&& call, std::decay_t<Args>&&... given) {
              into->failure = detail::failure_of([&] {
                if constexpr (std::is_void_v<R>) {
                  std::invoke(std::move(call), std::move(given)...);
                  into->value.emplace();
                } else {
                  into->value.emplace(std::invoke(std::move(call), std::move(given)...));
                }
              });
            },
            std::forward<F>(f), std::forward<Args>(args)...) {}

  /// Waits as tasklet::join() does, then returns or throws what the tasklet did; the value is moved out.
  /// Throws state_error if the tasklet was killed, or the value is gone.
  R get() {
    tasklet_.join();
    if (outcome_->failure) std::rethrow_exception(std::exchange(outcome_->failure, nullptr));
    if (!outcome_->value) throw state_error("the tasklet has no result: it was killed, or its result was taken before");
    if constexpr (std::is_void_v<R>) {
      outcome_->value.reset();
    } else {
      R value = std::move(*outcome_->value);
      outcome_->value.reset();
      return value;
    }
  }

  /// True when get() would not wait.
  bool ready() const noexcept { return !tasklet_.alive(); }

  stackless::tasklet& tasklet() noexcept { return tasklet_; }

 private:
  std::shared_ptr<outcome> outcome_;
  stackless::tasklet tasklet_;
};

template <class F, class... Args>
result(F&&, Args&&...) -> result<std::invoke_result_t<std::decay_t<F>, std::decay_t<Args>...>>;

STACKLESS_END
