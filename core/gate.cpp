#include <stackless/detail/gate.hpp>

STACKLESS_BEGIN
namespace detail {

void gate::wait_for_opening(scheduler& s) {
  holding held(*this, s);
  wait_for_opening(held, s);
}

void gate::wait_for_opening(holding& held, scheduler& s) {
  refuse_to_block(s);
  raise_if_woken_to(wait(held, s, state::receiving));
}

void gate::open(scheduler& s) noexcept {
  const holding held(*this, s);
  let_all_go(s);
}

void gate::let_all_go(scheduler& s) noexcept {
  while (record* r = front()) {
    forget(r);
    make_ready(s, r);
  }
}

void gate::give(scheduler& s, record* r) noexcept {
  r->has_cargo = true;
  forget(r);
  make_ready(s, r);
}

}  // namespace detail
STACKLESS_END
