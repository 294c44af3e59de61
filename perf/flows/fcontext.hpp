#pragma once

/// Boost.Context's raw switch, which Boost's coroutines and fibers are made of.

#include <boost/context/detail/fcontext.hpp>

#include "stack.hpp"

namespace perf {

struct fcontext {
  static constexpr char name[] = "fcontext";

  template <class Calls>
  class partner {
   public:
    partner() { there_ = boost::context::detail::make_fcontext(stack_.top(), stack::size, run); }

    void resume() { there_ = boost::context::detail::jump_fcontext(there_, &count_).fctx; }
    long count() const { return count_; }

   private:
    [[noreturn]] static void run(boost::context::detail::transfer_t from) {
      for (;;) {
        ++*static_cast<long*>(from.data);
        Calls::call([&] { from = boost::context::detail::jump_fcontext(from.fctx, nullptr); });
      }
    }

    stack stack_;
    boost::context::detail::fcontext_t there_;
    long count_ = 0;
  };

  /// On a stack that was used before.
  static void life(long& count) {
    static const stack reused;
    const auto there = boost::context::detail::make_fcontext(reused.top(), stack::size, [](auto from) {
      ++*static_cast<long*>(from.data);
      boost::context::detail::jump_fcontext(from.fctx, nullptr);
    });
    boost::context::detail::jump_fcontext(there, &count);
  }
};

}  // namespace perf
