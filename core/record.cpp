#include "core/record.hpp"

#include <new>

#include "core/extents.hpp"
#include "core/fork_level.hpp"
#include "core/span.hpp"

STACKLESS_BEGIN
namespace records {
namespace {

constexpr std::size_t granules_per_span = 1;

constinit cell_pool pool(extent_kind::records, sizeof(detail::record), granules_per_span, cache_index::records);

const arch::fork_hook at_fork(
    fork_level::memory, []() noexcept { pool.lock().lock(); }, []() noexcept { pool.lock().unlock(); },
    []() noexcept { pool.forget_available(); });

/// The span a word leads into, and which of its cells.
struct place {
  span* of = nullptr;
  std::uint32_t index = 0;
};

place locate(std::uintptr_t word) {
  auto* found = arch::region::find(word);
  if (found == nullptr || found->kind != extent_kind::records) return {};
  auto* of = static_cast<span*>(found);
  return {of, of->index_of(word)};
}

}  // namespace

detail::record* allocate() {
  void* const cell = pool.allocate();
  const arch::locked hold(pool.lock());  // others may be asking whose it is
  return new (cell) detail::record;
}

detail::record* allocate_at(std::uintptr_t home) {
  const span_shape shape{.begin = home & ~(arch::granule_size * granules_per_span - 1),
                         .size = arch::granule_size * granules_per_span,
                         .cell_size = sizeof(detail::record)};
  if (!pool.claim(home, shape)) return nullptr;
  return new (reinterpret_cast<void*>(home)) detail::record;
}

void release(detail::record* r) noexcept {
  const place at = locate(reinterpret_cast<std::uintptr_t>(r));
  r->~record();
  pool.release(*at.of, at.index);
}

detail::record* find(std::uintptr_t word) noexcept {
  const place at = locate(word);
  if (at.of == nullptr || !at.of->is_live(at.index)) return nullptr;
  return reinterpret_cast<detail::record*>(at.of->cell(at.index));
}

void for_each(const std::function<void(detail::record*)>& visit) {
  using namespace arch;
  for (std::uintptr_t at = region_begin; const extent* found = region::find_first(at, region_end - at); at = found->end()) {
    if (found->kind != extent_kind::records) continue;
    const auto& of = static_cast<const span&>(*found);
    for (std::uint32_t i = 0; i != of.capacity; ++i) {
      if (of.is_live(i)) visit(reinterpret_cast<detail::record*>(of.cell(i)));
    }
  }
}

// Other threads make and release records meanwhile. Of theirs nothing is looked at but the owner, and whatever is read
// there is not this thread.
__attribute__((no_sanitize("thread"))) static const detail::scheduler* owner_of(const detail::record* r) {
  return *reinterpret_cast<const detail::scheduler* const volatile*>(&r->owner);
}

static bool belongs_to(detail::record* r, const detail::scheduler& s) {
  const arch::locked hold(pool.lock());
  // What is this thread's stays so until it gives it away, and whoever gave it is heard.
  return find(reinterpret_cast<std::uintptr_t>(r)) == r && owner_of(r) == &s && r->owner.acquire() == &s;
}

void for_each_of(const detail::scheduler& s, const std::function<void(detail::record*)>& visit) {
  for_each([&](detail::record* r) {
    if (belongs_to(r, s)) visit(r);
  });
}

}  // namespace records
STACKLESS_END
