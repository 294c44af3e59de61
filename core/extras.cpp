#include "core/extras.hpp"

#include <algorithm>
#include <utility>

#include <stackless/tasklet.hpp>

#include "core/record.hpp"
#include "core/scheduler.hpp"
#include "core/slot.hpp"

STACKLESS_BEGIN
namespace detail {
namespace {

// The tempval is kept among the locals; it is nobody's to inherit.
constexpr const void* tempval_key = nullptr;

}  // namespace

extras& extras_of(record* r) {
  if (r->extras == nullptr) r->extras = heap::make<extras>().release();
  return *r->extras;
}

void inherit_locals(const record* from, record* to) {
  for (const auto& [key, value] : from->extras->locals) {
    if (key != tempval_key) extras_of(to).locals.push_back({key, value});
  }
}

void end_extras(scheduler& s, record* r) noexcept {
  if (r->extras->measured) r->extras->high_water = r->stack->high_water();
  {
    const auto gone = std::exchange(r->extras->locals, std::pmr::list<local>(heap::memory_resource()));
  }
  r->extras->ended.open(s);
}

void forget_local(const void* key) noexcept {
  scheduler& s = here();
  const auto erase = [&](record* r) {
    if (r->extras != nullptr) r->extras->locals.remove_if([&](const auto& entry) { return entry.key == key; });
  };
  erase(&s.main);
  records::for_each_of(s, erase);
}

void drop_extras(record* r) noexcept {
  const heap::owned<extras> dropped(std::exchange(r->extras, nullptr));
}

std::any* find_local_value(record* r, const void* key) {
  if (r->extras == nullptr) return nullptr;
  auto& locals = r->extras->locals;
  const auto found = std::ranges::find(locals, key, [](const auto& entry) { return entry.key; });
  return found != locals.end() ? &found->value : nullptr;
}

std::any& local_value(record* r, const void* key) {
  refuse_abroad(r);
  if (std::any* known = find_local_value(r, key)) return *known;
  return extras_of(r).locals.emplace_back(local{key, {}}).value;
}

}  // namespace detail
STACKLESS_END
