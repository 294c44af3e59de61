#pragma once

/// What is measured beside the library, in the same run.

#if defined(STACKLESS_PERF_FCONTEXT)

#include <boost/context/detail/fcontext.hpp>
#include <cstddef>
#include <memory>

namespace perf {

/// A flow of control of Boost.Context that counts how often it runs and comes back at once.
class fcontext_partner {
 public:
  static constexpr std::size_t stack_size = std::size_t{64} << 10;

  fcontext_partner() : stack_(std::make_unique<std::byte[]>(stack_size)) {
    there_ = boost::context::detail::make_fcontext(stack_.get() + stack_size, stack_size, run);
  }

  void resume() { there_ = boost::context::detail::jump_fcontext(there_, &count_).fctx; }
  long count() const { return count_; }

 private:
  [[noreturn]] static void run(boost::context::detail::transfer_t from) {
    for (;;) {
      ++*static_cast<long*>(from.data);
      from = boost::context::detail::jump_fcontext(from.fctx, nullptr);
    }
  }

  std::unique_ptr<std::byte[]> stack_;
  boost::context::detail::fcontext_t there_;
  long count_ = 0;
};

}  // namespace perf

#endif
