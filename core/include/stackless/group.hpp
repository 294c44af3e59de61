#pragma once

/// Tasklets that end together: none of them outlives the scope that it was begun in.
///
///   std::string fetch_both() {
///     std::string a, b;
///     stackless::group g;
///     g.spawn([&] { a = fetch("a"); });
///     g.spawn([&] { b = fetch("b"); });
///     g.wait();                          // throws what one of them threw; the other has been killed, and has ended
///     return a + b;
///   }
///
/// A group belongs to the tasklet that made it, and its tasklets run in that one's thread; neither moves to another
/// while there is the group. Groups make a tree: a tasklet that is killed kills, in the destructors of its groups, all
/// that it has begun, and waits for them before it ends. Where a `stackless::timeout` is thrown in wait() the same
/// happens.

#include <concepts>
#include <cstddef>
#include <exception>
#include <functional>
#include <memory_resource>
#include <type_traits>
#include <utility>
#include <vector>

#include <stackless/detail/failure.hpp>
#include <stackless/error.hpp>
#include <stackless/heap.hpp>
#include <stackless/tasklet.hpp>

STACKLESS_BEGIN
namespace detail {

/// What the tasklets of a group reach: in the heap, for the stack of its owner may be away.
struct nursery {
  explicit nursery(record* r) : owner(r) {}

  void refuse_if_ending() const;
  void fail(std::exception_ptr) noexcept;
  void kill_others();

  record* const owner;
  std::pmr::vector<tasklet> all{heap::memory_resource()};  ///< some may have ended
  std::size_t look_at = 16;                                ///< so many are looked through for those
  bool ending = false;
  std::exception_ptr failure;
};

}  // namespace detail

class group {
 public:
  /// Throws memory_error.
  group() = default;

  /// Kills those that are left and waits until they have ended. What kills the caller meanwhile, or is thrown into it,
  /// is thrown by its next operation, or when it ends; and so is an error that wait() has not thrown, unless an
  /// exception is unwinding the caller already.
  ///
  /// Who has caught TaskletExit and waits for something is waited for, and killed again when nobody else can run. The
  /// program is stopped if a tasklet refuses to end ten times, or if the caller must not switch or is of the group
  /// itself.
  ~group();

  group(const group&) = delete;
  group& operator=(const group&) = delete;

  /// A tasklet that calls `f(args...)`, as the constructor of tasklet makes it. When it ends by an exception, the
  /// others are killed, and wait() throws it; to be killed is no error. Any tasklet of the thread may call it, those
  /// of the group as well. Throws memory_error; state_error: cancelled, one has failed, another thread's.
  template <class F, class... Args>
    requires std::invocable<std::decay_t<F>, std::decay_t<Args>...>
  tasklet spawn(F&& f, Args&&... args) {
    inside_->refuse_if_ending();
    return enter(tasklet::bound(
        [inside = inside_.get()](std::decay_t<F>&& call, std::decay_t<Args>&&... given) {
          std::exception_ptr failure =
              detail::failure_of([&] { std::invoke(std::move(call), std::move(given)...); });
          if (failure != nullptr) inside->fail(std::move(failure));
        },
        std::forward<F>(f), std::forward<Args>(args)...));
  }

  /// Waits until all have ended, those that begin meanwhile as well. If any has ended by an exception it throws the
  /// first one. The group is empty then, and may be used again. Throws state_error: the caller is not the one that
  /// made it; and as channel<T>::receive does, which leaves the group as it is.
  void wait();

  /// Kills all when it is their turn: TaskletExit is thrown in each, and those that have not started never run. One of
  /// the group that calls it is killed at once. Throws state_error: another thread's.
  void cancel();

 private:
  tasklet enter(tasklet);
  void join_all();

  const heap::owned<detail::nursery> inside_ = heap::make<detail::nursery>(detail::here().current);
  const int exceptions_ = std::uncaught_exceptions();
};

STACKLESS_END
