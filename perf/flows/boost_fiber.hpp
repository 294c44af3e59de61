#pragma once

/// Boost.Fiber: a scheduler and channels over fcontext.

#include <bit>
#include <boost/fiber/buffered_channel.hpp>
#include <boost/fiber/fiber.hpp>
#include <boost/fiber/operations.hpp>
#include <boost/fiber/unbuffered_channel.hpp>
#include <cstddef>
#include <utility>

namespace perf {

struct boost_fiber {
 private:
  template <class T, class Channel>
  class sends_and_receives {
   public:
    explicit sends_and_receives(auto... capacity) : channel_(capacity...) {}
    void send(T value) { channel_.push(std::move(value)); }
    T receive() { return channel_.value_pop(); }

   private:
    Channel channel_;
  };

 public:
  static constexpr char name[] = "Boost.Fiber";

  template <class T>
  using channel = sends_and_receives<T, boost::fibers::unbuffered_channel<T>>;

  template <class T>
  class buffered_channel : public sends_and_receives<T, boost::fibers::buffered_channel<T>> {
   public:
    /// It takes powers of two, and one value less.
    explicit buffered_channel(std::size_t capacity)
        : sends_and_receives<T, boost::fibers::buffered_channel<T>>(std::bit_ceil(capacity + 1)) {}
  };

  template <class F>
  static void start(F f) {
    boost::fibers::fiber(std::move(f)).detach();
  }
  template <class F>
  static void start_now(F f) {
    boost::fibers::fiber(boost::fibers::launch::dispatch, std::move(f)).detach();
  }
  static void yield() { boost::this_fiber::yield(); }

  static void life(long& count) {
    boost::fibers::fiber([&count] { ++count; }).join();
  }
};

}  // namespace perf
