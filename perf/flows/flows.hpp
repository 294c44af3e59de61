#pragma once

/// Flows of control of all kinds that are measured, behind one interface. Each kind has a `name` and
///
///   partner<Calls>            another flow that counts how often it is resumed, and comes back at once:
///     p.resume(), p.count()     it gives way as `Calls` says
///   life(count)               a flow begins, adds one to the count, and ends
///
/// Libraries with a scheduler have also, as far as they can,
///
///   start(f)                  f() will run in a flow of its own when those have had their turn who wait for it now
///   start_now(f)              it runs at once; the caller goes on later
///   yield()                   lets the others run first
///   channel<T>                send(value), receive(): each waits for the other
///   buffered_channel<T>       made with a capacity: so many values wait for a receiver, not their senders

#include "bare.hpp"
#include "calls.hpp"
#include "groups.hpp"
#include "tasklets.hpp"
#include "threads.hpp"
#include "ucontext.hpp"
#if defined(__cpp_impl_coroutine)
#include "coroutine.hpp"
#endif
#if defined(STACKLESS_PERF_FCONTEXT)
#include "fcontext.hpp"
#endif
#if defined(STACKLESS_PERF_BOOST_FIBER)
#include "boost_fiber.hpp"
#endif
#if defined(STACKLESS_PERF_STATE_THREADS)
#include "state_threads.hpp"
#endif

namespace perf {

template <class Kind, class Calls>
concept has_partner = requires { sizeof(typename Kind::template partner<Calls>); };

template <class Kind>
concept has_life = requires(long& count) { Kind::life(count); };

template <class Kind>
concept has_scheduler = requires { Kind::yield(); };

template <class Kind>
concept starts_now = requires(void (*f)()) {
  Kind::start_now(f);
  sizeof(typename Kind::template buffered_channel<long>);
};

/// Calls f<Kind>() for each kind whose rows belong to the stage.
template <class F>
void for_each_kind(stage s, F f) {
  if (s == stage::several_threads) return f.template operator()<threads>();
  f.template operator()<bare<switch_inline>>();
  f.template operator()<bare<switch_called>>();
  f.template operator()<tasklets>();
#if defined(STACKLESS_PERF_FCONTEXT)
  f.template operator()<fcontext>();
#endif
#if defined(STACKLESS_PERF_BOOST_FIBER)
  f.template operator()<boost_fiber>();
#endif
#if defined(STACKLESS_PERF_STATE_THREADS)
  f.template operator()<state_threads>();
#endif
#if defined(__cpp_impl_coroutine)
  f.template operator()<coroutine>();
#endif
  f.template operator()<ucontext>();
}

}  // namespace perf
