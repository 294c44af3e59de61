#include "core/migration.hpp"

#include <link.h>
#include <unistd.h>

#include <memory>
#include <span>
#include <utility>
#include <vector>

#include <stackless/channel.hpp>

#include "arch/lock.hpp"
#include "arch/thread_pointer.hpp"
#include "core/access.hpp"
#include "core/ended.hpp"
#include "core/extras.hpp"
#include "core/fork_level.hpp"
#include "core/hooks.hpp"
#include "core/inbox.hpp"
#include "core/record.hpp"
#include "core/scheduler.hpp"
#include "core/selection.hpp"
#include "core/sharing.hpp"
#include "core/slice.hpp"

extern "C" {
/// The address of a thread-local variable in the calling thread, as compilers ask for it.
struct tls_index {
  std::size_t module;
  std::size_t offset;
};
void* __tls_get_addr(tls_index*);
}

STACKLESS_BEGIN
namespace detail {
namespace {

/// In place of a module, of a word that is the thread pointer.
constexpr std::size_t no_module = 0;

/// A module's thread-local storage in the calling thread.
struct tls_block {
  std::size_t module;
  std::uintptr_t begin;
  std::size_t size;
};

std::vector<tls_block> tls_of_this_thread() {
  std::vector<tls_block> blocks;
  dl_iterate_phdr(
      [](dl_phdr_info* info, std::size_t, void* argument) {
        if (info->dlpi_tls_data == nullptr) return 0;
        for (const auto& header : std::span(info->dlpi_phdr, info->dlpi_phnum)) {
          if (header.p_type != PT_TLS) continue;
          static_cast<std::vector<tls_block>*>(argument)->push_back(
              {info->dlpi_tls_modid, reinterpret_cast<std::uintptr_t>(info->dlpi_tls_data), header.p_memsz});
        }
        return 0;
      },
      &blocks);
  return blocks;
}

/// What a parked tasklet has kept in words, by number: a sliced stack may be elsewhere when the tasklet arrives.
class kept_words {
 public:
  explicit kept_words(record* r) : context_(slices::context_of(r)), live_(slices::live_bytes(r)) {}

  std::size_t count() const { return of_context + live_.size() / sizeof(std::uintptr_t); }
  std::uintptr_t* at(std::size_t number) const {
    if (number == 0) return reinterpret_cast<std::uintptr_t*>(&context_.fp);
    if (number == 1) return reinterpret_cast<std::uintptr_t*>(&context_.base);
    return reinterpret_cast<std::uintptr_t*>(live_.data()) + (number - of_context);
  }

 private:
  static constexpr std::size_t of_context = 2;

  arch::context& context_;
  const std::span<std::byte> live_;
};

/// `r` leaves the thread. What lies between the variables of a frame is looked at as well.
__attribute__((no_sanitize("address"))) void note_thread_words(record* r, std::span<const tls_block> blocks) {
  if (r->extras != nullptr) r->extras->thread_words.clear();  // of an earlier attempt
  if (!r->alive() || r->stack == nullptr || !r->started) return;
  const kept_words words(r);
  for (std::size_t i = 0; i != words.count(); ++i) {
    const std::uintptr_t word = *words.at(i);
    if (word == arch::thread_pointer()) extras_of(r).thread_words.push_back({i, no_module, 0});
    for (const tls_block& b : blocks) {
      if (word - b.begin < b.size) extras_of(r).thread_words.push_back({i, b.module, word - b.begin});
    }
  }
}

/// `r` has arrived in this thread.
__attribute__((no_sanitize("address"))) void rewrite_thread_words(record* r) {
  if (r->extras == nullptr || r->extras->thread_words.empty()) return;
  const kept_words words(r);
  for (const auto [number, module, offset] : r->extras->thread_words) {
    tls_index variable{module, offset};
    *words.at(number) =
        module == no_module ? arch::thread_pointer() : reinterpret_cast<std::uintptr_t>(__tls_get_addr(&variable));
  }
  r->extras->thread_words.clear();
}

void arrive(record* r) noexcept {
  rewrite_thread_words(r);
  r->arriving = false;
  if (!r->alive()) return;
  if (r->sliced) slices::arrive(*r->owner, r);
  ++r->owner->population;
  if (r->block_trap) {
    r->block_trap = false;  // of the thread that it has left
    set_block_trap(r, true);
  }
}

/// `publish`, which may refuse, publishes another owner of `r`. Whoever wakes a blocked one reads it with the channel
/// held.
template <class Publish>
bool change_owner(record* r, Publish publish) {
  const state seen = r->state.acquire();
  channel_base* const on = seen == state::sending || seen == state::receiving ? r->blocked_on.get() : nullptr;
  const arch::locked hold(lock_of(on));
  if (r->blocked() && (on == nullptr || r->blocked_on != on)) return false;  // it is being woken
  if (on != nullptr) channel_access::be_shared(*on);
  return publish();
}

/// The same, waiting for those who are waking it.
void give_to(record* r, scheduler* to) {
  const auto publish = [&] {
    r->owner.publish(to);
    return true;
  };
  while (!change_owner(r, publish)) sched_yield();
}

void stop_choosing(record* r) noexcept {
  if (r->choice->give_up()) return;
  while (r->state.acquire() == state::choosing) sched_yield();  // somebody is waking it
}

/// Held by those who count the handles of a tasklet that belongs to nobody, or decide whose it will be.
constinit arch::spin_lock adoption;
const arch::fork_hook at_fork(fork_level::adoption, arch::hold<adoption>, arch::release<adoption>);

/// The process ends with it, and all that it has.
bool is_first_thread() { return getpid() == gettid(); }

}  // namespace

bool hand_over(scheduler& from, record* r, scheduler* to) {
  reclaim_departed(from);  // whoever has ended takes no place any more
  if (!r->alive()) give_up_slot(from, r);
  const bool alive = r->alive(), traps = r->block_trap, looks_again = r->state == state::choosing;
  note_thread_words(r, tls_of_this_thread());
  auto arrival = letter_to([kept = tasklet_access::handle_to(r), looks_again](scheduler& s) noexcept {
    arrive(tasklet_access::record(kept));
    if (looks_again) append(s, tasklet_access::record(kept));
  });
  if (alive && r->sliced && !slices::assign(r, *to)) return false;
  // Nothing is thrown from here on, so that a chooser which gives up is not lost.
  if (looks_again && !r->choice->give_up()) return false;
  r->arriving = true;
  if (!change_owner(r, [&] { return post(to, std::move(arrival), r); })) {
    r->arriving = false;
    if (alive && r->sliced) slices::assign(r, from);
    if (looks_again) append(from, r);
    return false;
  }
  if (alive) --from.population;
  if (traps) --from.block_traps;
  return true;
}

bool adopt(scheduler& s, record* r) {
  {
    const arch::locked hold(adoption);
    if (r->owner != &nobody) return false;
    if (r->alive() && r->sliced && !slices::adopt(r, s)) return false;
    give_to(r, &s);
  }
  arrive(r);
  return true;
}

bool let_go_orphaned(record* r) noexcept {
  scheduler& s = here();
  {
    const arch::locked hold(adoption);
    if (r->owner.acquire() != &nobody) return false;
    r->handles += r->foreign_handles.exchange(0, std::memory_order_acq_rel) - 1;
    if (r->handles > 0) return true;
    if (r->alive() && r->sliced && !slices::adopt(r, s)) {
      // It can only be unwound where its slot is. The handle goes there.
      ++r->handles;
      return post(slices::home_of(r), letter_to([r](scheduler&) noexcept { let_go_abroad(r); }));
    }
    give_to(r, &s);
  }
  arrive(r);
  settle_handles(r);
  return true;
}

bool unwind_forgotten(scheduler& s) {
  if (is_first_thread()) return false;
  std::vector<tasklet> forgotten;
  records::for_each_of(s, [&](record* r) {
    if (r->alive() && !stands_in(r) && r->all_handles() == 0) forgotten.push_back(tasklet_access::handle_to(r));
  });
  for (tasklet& t : forgotten) {
    stop_waiting(tasklet_access::record(t));
    t.remove();
  }
  return !forgotten.empty();
}

void leave_tasklets(scheduler& s) {
  if (is_first_thread()) return;
  reclaim_all(s);
  const std::vector<tls_block> blocks = tls_of_this_thread();
  records::for_each_of(s, [&](record* r) {
    if (stands_in(r)) return;
    note_thread_words(r, blocks);
    if (r->state == state::ready || r->state == state::running_others) r->state = state::paused;
    if (r->state == state::choosing) stop_choosing(r);
    if (r->alive() && r->sliced) slices::abandon(r);
  });
  slices::close(s);
  records::for_each_of(s, [](record* r) {
    if (stands_in(r)) return r->owner.publish(&nobody);
    give_to(r, &nobody);
  });
}

}  // namespace detail
STACKLESS_END
