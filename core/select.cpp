#include <stackless/select.hpp>

#include <algorithm>

#include <stackless/error.hpp>

#include "core/access.hpp"
#include "core/record.hpp"
#include "core/selection.hpp"

STACKLESS_BEGIN
namespace detail {

bool selection::enter(select_case& c) {
  channel_base& on = c.on();
  if (on.closing()) return true;
  record* r = records::allocate();
  r->owner = chooser->owner.get();
  r->choice = this;
  r->state = c.sends() ? state::sending : state::receiving;
  stand_ins.push_back({r, &on, &c});
  c.prepare(r);
  const holding held(on, *chooser->owner);
  on.drop_claimed();
  if (!c.must_wait()) return false;
  on.set_special(channel_base::selects, true);
  on.push_back(r);
  on.count_one(r->state, 1);
  return true;
}

bool selection::give_up() noexcept {
  if (!claim(nullptr)) return false;
  leave();
  chooser->state = state::paused;
  return true;
}

void selection::leave() noexcept {
  for (const stand_in& s : stand_ins) channel_access::take_out(s.waits, s.on);
}

void selection::take_back() {
  for (const stand_in& s : stand_ins) s.for_case->take_back(s.waits);
}

selection::~selection() {
  for (const stand_in& s : stand_ins) {
    drop_failure(s.waits);
    s.for_case->drop(s.waits);
    records::release(s.waits);
  }
  chooser->choice = nullptr;
}

namespace {

/// Of several that need not wait, another one is looked at first each time.
std::size_t next_turn() {
  constinit static thread_local std::size_t turns = 0;
  return turns++;
}

/// None if the caller has to look again.
std::optional<std::size_t> wait_for_one(scheduler& s, std::span<select_case* const> cases) {
  record* me = s.current;
  const auto choice = heap::make<selection>(me, cases.size());
  choice->refuse_to_wait(s, cases);
  me->blocked_on = nullptr;
  bool must_wait = true;
  for (select_case* c : cases) must_wait = must_wait && choice->enter(*c);
  if (!must_wait && choice->claim(nullptr)) {
    choice->leave();
    choice->take_back();
    return std::nullopt;
  }
  record* to = successor(s, me);
  unlink(me);
  me->state = state::choosing;
  record* self = give_way(s, me, to);
  choice->leave();
  raise_if_woken_to(self);
  for (const selection::stand_in& in : choice->stand_ins) {
    if (in.waits != choice->met) continue;
    in.for_case->finish(in.waits);
    return std::ranges::find(cases, in.for_case) - cases.begin();
  }
  choice->take_back();
  return std::nullopt;
}

/// A channel's queue is of senders or of receivers, so one tasklet cannot stand there as both.
void refuse_to_meet_itself(std::span<select_case* const> cases) {
  for (const select_case* c : cases) {
    for (const select_case* other : cases) {
      if (&c->on() == &other->on() && c->sends() != other->sends()) {
        throw error("select() is to send to and to receive from one channel, where it would meet itself: use two channels");
      }
    }
  }
}

}  // namespace

void selection::refuse_to_wait(scheduler& s, std::span<select_case* const> cases) {
  const auto open = std::ranges::find_if(cases, [](const select_case* c) { return !c->on().closing(); });
  (open != cases.end() ? **open : *cases.front()).on().refuse_to_block(s);
}

std::optional<std::size_t> select_one(std::span<select_case* const> cases, bool may_wait) {
  refuse_to_meet_itself(cases);
  const std::size_t first = next_turn();
  for (;;) {
    scheduler& s = begin();
    for (std::size_t i = 0; i != cases.size(); ++i) {
      const std::size_t index = (first + i) % cases.size();
      if (cases[index]->try_now()) return index;
    }
    if (!may_wait) return std::nullopt;
    if (const auto met = wait_for_one(s, cases)) return met;
  }
}

}  // namespace detail
STACKLESS_END
