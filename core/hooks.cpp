#include "core/hooks.hpp"

#include <cstdio>
#include <utility>

#include <stackless/channel.hpp>
#include <stackless/error.hpp>

#include "core/access.hpp"

STACKLESS_BEGIN
namespace detail {
namespace {

hooks& hooks_of(scheduler& s) {
  if (s.hooks == nullptr) s.hooks = new hooks;
  return *s.hooks;
}

void update_attention(scheduler& s) {
  attend(s, attention::observed, s.hooks != nullptr && (s.hooks->on_switch || s.hooks->on_channel));
  attend(s, attention::trapped, s.switch_traps > 0 || s.block_traps > 0);
}

/// Nothing may switch while a callback runs.
class callback_scope {
 public:
  explicit callback_scope(scheduler& s) : s_(s) {
    ++s_.switch_traps;
    update_attention(s_);
  }
  ~callback_scope() {
    --s_.switch_traps;
    update_attention(s_);
  }
  callback_scope(const callback_scope&) = delete;
  callback_scope& operator=(const callback_scope&) = delete;

 private:
  scheduler& s_;
};

void report_ignored(const char* where) noexcept {
  try {
    throw;
  } catch (const std::exception& e) {
    std::fprintf(stderr, "stackless: an exception in the %s callback was ignored: %s\n", where, e.what());
  } catch (...) {
    std::fprintf(stderr, "stackless: an exception in the %s callback was ignored\n", where);
  }
}

template <class Hook>
Hook exchange_hook(Hook hooks::*which, Hook fresh) {
  scheduler& s = here();
  Hook before = std::exchange(hooks_of(s).*which, std::move(fresh));
  update_attention(s);
  return before;
}

}  // namespace

void set_block_trap(record* r, bool on) noexcept {
  if (r->block_trap == on) return;
  r->block_trap = on;
  r->owner->block_traps += on ? 1 : -1;
  update_attention(*r->owner);
}

void refuse_trapped_switch(const scheduler& s) {
  if (s.switch_traps <= 0) return;
  throw trap_error("switch_trap: switching is forbidden here: lower switch_trap, or leave the callback, first");
}

void observe_switch(scheduler& s, record* from, record* to) noexcept {
  if (s.hooks == nullptr || !s.hooks->on_switch) return;
  // `from` may have left the ring; what the callback inserts is to find its place all the same.
  record* const current = std::exchange(s.current, to);
  try {
    const callback_scope scope(s);
    const schedule_callback callback = s.hooks->on_switch;
    callback(tasklet_access::handle_to(from), tasklet_access::handle_to(to));
  } catch (...) {
    report_ignored("schedule");
  }
  s.current = current;
}

std::exception_ptr handle_error(scheduler& s, std::exception_ptr failure) noexcept {
  if (s.hooks == nullptr || !s.hooks->on_error) return failure;
  try {
    const error_handler handler = s.hooks->on_error;
    handler(std::move(failure));
    return nullptr;
  } catch (...) {
    return std::current_exception();
  }
}

}  // namespace detail

void channel_base::notify(detail::scheduler& s, bool sending, bool will_block) const {
  if (s.hooks == nullptr || !s.hooks->on_channel) return;
  if (s.hooks->notifying) {
    throw trap_error("Recursive channel call due to callbacks! Use no channel in a channel callback");
  }
  const detail::callback_scope scope(s);
  s.hooks->notifying = true;
  try {
    const channel_callback callback = s.hooks->on_channel;
    callback(*this, current(), sending, will_block);
  } catch (...) {
    s.hooks->notifying = false;
    throw;
  }
  s.hooks->notifying = false;
}

int switch_trap(int delta) {
  detail::scheduler& s = detail::here();
  const int before = s.switch_traps;
  s.switch_traps += delta;
  detail::update_attention(s);
  return before;
}

error_handler set_error_handler(error_handler handler) {
  return detail::exchange_hook(&detail::hooks::on_error, std::move(handler));
}

schedule_callback set_schedule_callback(schedule_callback callback) {
  return detail::exchange_hook(&detail::hooks::on_switch, std::move(callback));
}

channel_callback set_channel_callback(channel_callback callback) {
  return detail::exchange_hook(&detail::hooks::on_channel, std::move(callback));
}

schedule_callback get_schedule_callback() {
  const detail::scheduler& s = detail::here();
  return s.hooks != nullptr ? s.hooks->on_switch : schedule_callback();
}

channel_callback get_channel_callback() {
  const detail::scheduler& s = detail::here();
  return s.hooks != nullptr ? s.hooks->on_channel : channel_callback();
}

STACKLESS_END
