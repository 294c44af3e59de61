#include "serialize/restore.hpp"

#include <algorithm>
#include <cstring>
#include <iterator>
#include <optional>
#include <string>
#include <utility>

#include <stackless/snapshot_error.hpp>

#include "core/access.hpp"
#include "core/ended.hpp"
#include "core/extents.hpp"
#include "core/heap.hpp"
#include "core/hooks.hpp"
#include "core/record.hpp"
#include "core/scheduler.hpp"
#include "core/slice.hpp"
#include "core/slot.hpp"
#include "serialize/classify.hpp"
#include "serialize/encoding.hpp"

STACKLESS_BEGIN
namespace snapshot {
namespace {

using detail::record;

template <class T>
T* pointer(std::uint64_t address) {
  return reinterpret_cast<T*>(static_cast<std::uintptr_t>(address));
}

class failure {
 public:
  failure(std::string_view file, std::string reason) { about_.file = file, about_.reason = std::move(reason); }

  failure& compare(std::string expected, std::string found) {
    about_.expected = std::move(expected);
    about_.found = std::move(found);
    return *this;
  }
  failure& hint(std::string text) {
    about_.hint = std::move(text);
    return *this;
  }
  failure& section(std::string name) {
    about_.section = std::move(name);
    return *this;
  }
  [[noreturn]] void raise(snapshot_error::kind k) { throw snapshot_error(k, std::move(about_)); }

 private:
  snapshot_error::details about_;
};

[[noreturn]] void damaged(std::string_view file, const char* section, std::string reason) {
  failure(file, std::move(reason)).section(section).raise(snapshot_error::kind::damaged);
}

/// Where the modules of an image are in this process.
class module_map {
 public:
  module_map(const image& i, std::string_view file) {
    const auto all = here_.all();
    const loaded_module& program = all.front();
    if (!std::ranges::equal(i.modules.front().build_id, program.build_id)) {
      failure(file, "written by another build of the program, " + std::string(i.modules.front().path))
          .section("MODULES")
          .compare(hexadecimal(i.modules.front().build_id), hexadecimal(program.build_id))
          .hint("native frames need the very same binary: keep it beside its snapshots")
          .raise(snapshot_error::kind::wrong_program);
    }
    for (const module& m : i.modules) {
      const auto at = here_.find(m.build_id);
      index_.push_back(at);
      if (at && all[*at].size() != m.size) {
        damaged(file, "MODULES", std::string(m.path) + " is of another size here, in spite of its build-id");
      }
    }
    for (const frame& f : i.frames) {
      if (!index_[f.pc.index]) refuse_missing("a frame runs code", i.modules[f.pc.index], file);
    }
    for (const channel& c : i.channels) {
      if (c.where.means == meaning::module && !index_[c.where.index]) {
        refuse_missing("a tasklet waits on a channel", i.modules[c.where.index], file);
      }
    }
  }

  /// The word that `v` stands for here.
  std::uint64_t word_for(const value& v) const {
    switch (v.means) {
      case meaning::data:
        return v.number;
      case meaning::module:
        if (index_[v.index]) return module_at(v).begin + v.number;
        break;
      case meaning::thread_local_:
        if (index_[v.index] && here_.tls(*index_[v.index]) != 0 && v.number < module_at(v).tls_size) {
          return here_.tls(*index_[v.index]) + v.number;
        }
        break;
      case meaning::thread_pointer:
        return thread_pointer() + v.number;
      case meaning::canary:
        return canary();
      case meaning::foreign:
        break;
      case meaning::stranger:
        return poison_of(meaning::stranger);
    }
    return poison_of(meaning::foreign);
  }

  /// Whether `size` bytes at this word of a module are variables of it.
  bool are_variables(const value& v, std::size_t size) const {
    const loaded_module& m = module_at(v);
    return m.begin + v.number >= m.writable && v.number <= m.size() && size <= m.size() - v.number;
  }

  template <class T>
  T as(const value& v) const {
    return reinterpret_cast<T>(static_cast<std::uintptr_t>(word_for(v)));
  }

 private:
  const loaded_module& module_at(const value& v) const { return here_.all()[*index_[v.index]]; }

  [[noreturn]] static void refuse_missing(const char* what, const module& m, std::string_view file) {
    failure(file, std::string(what) + " of a module that is not loaded, " + std::string(m.path))
        .section("MODULES")
        .compare(hexadecimal(m.build_id), "no module with this build-id")
        .hint("load the very same library before the snapshot")
        .raise(snapshot_error::kind::wrong_program);
  }

  loaded_modules here_;
  std::pmr::vector<std::optional<std::uint32_t>> index_{scratch()};  ///< by index in the image: in the process
};

void fill(std::uint64_t address, std::span<const std::byte> bytes) {
  if (!bytes.empty()) std::memcpy(pointer<void>(address), bytes.data(), bytes.size());
}

/// The addresses that an image comes back to, taken one by one; given back unless they are kept.
class home {
 public:
  home(const image& i, std::string_view file) : file_(file) {
    try {
      std::span<const std::byte> stacks = i.stacks.bytes, heap = i.heap.bytes;
      for (const tasklet& t : i.tasklets) claim(t);
      for (const block& b : i.blocks) claim(b, i.spans[b.span], take(heap, i.spans[b.span].cell_size));
      // Any place will do for the rest, but for those that somebody else has to come back to.
      for (std::size_t n = 0; n != i.tasklets.size(); ++n) {
        settle(i.tasklets[n], records_[n], take(stacks, i.tasklets[n].stack_size));
      }
    } catch (...) {
      give_back();
      throw;
    }
  }
  home(const home&) = delete;
  home& operator=(const home&) = delete;
  ~home() { give_back(); }

  void keep() {
    records_.clear();
    blocks_.clear();
  }

  record* record_of(std::size_t tasklet) const { return records_[tasklet]; }

 private:
  void claim(const tasklet& t) {
    const auto size_class = slots::class_of(t.slot_size);
    if (!size_class) {
      damaged(file_, "TASKLETS", "a stack slot of " + std::to_string(t.slot_size) +
                                     " bytes; slots of this library have " + std::to_string(slots::smallest) +
                                     " and powers of two as many, up to " +
                                     std::to_string(slots::size_of(slots::size_classes - 1)));
    }
    record* r = records::allocate_at(t.home);
    if (r == nullptr) refuse_taken("the record of a tasklet", t.home, sizeof(record));
    records_.push_back(r);
    r->owner = &detail::here();
    r->sliced = t.sliced;
    r->size_class = *size_class;
    r->started = t.parked();
    if (!r->started) return;
    if (t.sliced) {
      if (!slices::come_home(r, t.slot)) refuse_taken("a stack", t.slot, t.slot_size);
    } else {
      r->stack = slots::acquire_at(t.slot, *size_class);
      if (r->stack == nullptr) refuse_taken("a stack", t.slot, t.slot_size);
    }
    if (t.live < r->stack->floor() || t.live + t.stack_size != r->stack->top()) {
      damaged(file_, "STACKS", "a stack that does not lie in its slot");
    }
  }

  /// What needs no address of its own.
  static void settle(const tasklet& t, record* r, std::span<const std::byte> stack) {
    if (t.state == state::not_started && t.sliced) {
      slices::settle(*r->owner, r);
    } else if (t.state == state::not_started) {
      r->stack = slots::acquire(r->size_class);
    } else if (t.parked() && t.sliced) {
      slices::put_away(r, stack);
    }
  }

  void claim(const block& b, const span& s, std::span<const std::byte> bytes) {
    if (!heap::claim(b.begin, {.begin = s.begin, .size = s.size, .cell_size = s.cell_size})) {
      refuse_taken("a heap block", b.begin, s.cell_size);
    }
    blocks_.push_back(b.begin);
    fill(b.begin, bytes);
  }

  [[noreturn]] void refuse_taken(const char* what, std::uint64_t begin, std::uint64_t size) const {
    failure(file_, std::string("home is taken: ") + what + " has to come back to " + hexadecimal(begin) + ", where " +
                       holder(begin, size))
        .hint("end what lives there, or restore in a fresh process")
        .raise(snapshot_error::kind::home_taken);
  }

  static std::string holder(std::uint64_t begin, std::uint64_t size) {
    const auto* extent = arch::region::find_first(begin, size);
    if (extent == nullptr) return "no address may be used";
    if (extent->kind == extent_kind::slot) {
      return slices::hold(pointer<void>(extent->begin)) ? "other tasklets share their stacks' addresses"
                                                        : "the stack of another tasklet lies";
    }
    if (extent->kind == extent_kind::records) {
      return records::find(begin) != nullptr ? "the record of another tasklet lies" : "records of tasklets lie";
    }
    const heap::block b = heap::find(begin);
    if (!b) return "the heap keeps blocks of another size";
    return "a heap block of " + std::to_string(b.size) + " bytes lies";
  }

  void give_back() noexcept {
    for (record* r : records_) {
      if (r->stack != nullptr) {
        if (r->sliced && r->started) slices::end(r);
        detail::release_stack(r);
      }
      records::release(r);
    }
    for (const std::uint64_t b : blocks_) heap::deallocate(pointer<void>(b));
  }

  std::string_view file_;
  std::pmr::vector<record*> records_{scratch()};
  std::pmr::vector<std::uint64_t> blocks_{scratch()};
};

/// Puts in the words that mean something else in each process.
void complete(payload& p, const module_map& modules) {
  for (const word& w : p.words) store(&p.bytes[w.offset], modules.word_for(w.what));
}

detail::wake wake_of(waking w) {
  switch (w) {
    case waking::with_failure:
      return detail::wake::with_failure;
    case waking::to_exit:
      return detail::wake::to_exit;
    case waking::normally:
      break;
  }
  return detail::wake::normally;
}

void fill(record* r, const tasklet& t, std::span<const std::byte> stack, const module_map& modules) {
  r->handles = t.handles;
  r->extras = modules.as<detail::extras*>(t.extras);
  r->atomic = t.atomic;
  detail::set_block_trap(r, t.block_trap);
  if (t.state == state::dead) {
    r->state = detail::state::dead;
    return;
  }
  r->state = detail::state::paused;
  ++r->owner->population;
  r->has_cargo = t.has_value;
  if (t.has_value) {
    for (std::size_t i = 0; i != t.transfer.size(); ++i) store(r->cargo + 8 * i, modules.word_for(t.transfer[i]));
  }
  if (!t.sliced) r->stack->user = r;
  detail::prepare_stack(r);
  if (t.state == state::not_started) {
    r->body = modules.as<detail::body>(t.body);
    r->closure = modules.as<void*>(t.closure);
  } else {
    slices::context_of(r) = {.pc = modules.as<void*>(t.pc),
                             .sp = pointer<void>(t.sp),
                             .fp = modules.as<void*>(t.fp),
                             .base = modules.as<void*>(t.base)};
    r->exceptions = {.caught = modules.as<void*>(t.caught), .uncaught = t.uncaught};
    r->failure = modules.as<void*>(t.failure);
    r->sends_failure = t.sends_failure;
    r->wake = wake_of(t.waking);
    if (!t.sliced) fill(t.live, stack);
  }
}

/// Whether all of a channel at this address is in what the image carries.
bool lies_whole(std::uint64_t address, const image& i) {
  const auto holds = [address](std::uint64_t begin, std::size_t size) {
    return address >= begin && address - begin < size && size - (address - begin) >= sizeof(channel_base);
  };
  const auto after = std::ranges::upper_bound(i.blocks, address, {}, &block::begin);
  if (after != i.blocks.begin()) {
    const block& before = *std::prev(after);
    if (holds(before.begin, i.spans[before.span].cell_size)) return true;
  }
  return std::ranges::any_of(i.tasklets, [&](const tasklet& t) { return !t.sliced && holds(t.live, t.stack_size); });
}

/// A channel that is written to when it is restored has to be one.
void check(const channel& c, const image& i, const module_map& modules, std::string_view file) {
  bool is_one = c.where.number % alignof(channel_base) == 0;
  if (c.where.means == meaning::module) {
    is_one = is_one && modules.are_variables(c.where, sizeof(channel_base)) &&
             channel_access::is_whole(*modules.as<channel_base*>(c.where));
  } else {
    is_one = is_one && lies_whole(c.where.number, i);
  }
  if (!is_one) damaged(file, "CHANNELS", "a channel lies where no channel can be");
  if (c.where.means != meaning::module) return;

  const int balance = modules.as<channel_base*>(c.where)->balance();
  const bool sends = i.tasklets[c.waiting.front()].state == state::sending;
  if (sends ? balance < 0 : balance > 0) {
    failure(file, std::string("home is taken: a tasklet ") +
                      (sends ? "sends to a global channel on which tasklets wait to receive here"
                             : "receives from a global channel on which tasklets wait to send here"))
        .hint("let those who wait meet somebody first")
        .raise(snapshot_error::kind::home_taken);
  }
}

void fill(const channel& c, const image& i, const home& where, const module_map& modules) {
  auto& queue = *modules.as<channel_base*>(c.where);
  if (c.where.means == meaning::data) channel_access::reset(queue);
  for (const std::uint32_t index : c.waiting) {
    record* r = where.record_of(index);
    r->state = i.tasklets[index].state == state::sending ? detail::state::sending : detail::state::receiving;
    channel_access::enqueue(queue, r);
  }
}

}  // namespace

stackless::tasklet restore(image i, std::string_view file) {
  if (i.machine != this_machine) {
    failure(file, "written on another kind of CPU")
        .section("MACHINE")
        .compare(name_of(this_machine), name_of(i.machine))
        .hint("native frames resume only on the CPU they were compiled for")
        .raise(snapshot_error::kind::wrong_machine);
  }
  const module_map modules(i, file);
  for (const channel& c : i.channels) check(c, i, modules, file);
  complete(i.stacks, modules);
  complete(i.heap, modules);
  detail::reclaim_all(detail::here());
  home where(i, file);

  std::span<const std::byte> stacks = i.stacks.bytes;
  for (std::size_t n = 0; n != i.tasklets.size(); ++n) {
    fill(where.record_of(n), i.tasklets[n], take(stacks, i.tasklets[n].stack_size), modules);
  }
  for (const channel& c : i.channels) fill(c, i, where, modules);

  record* first = where.record_of(0);
  ++first->handles;
  where.keep();
  return tasklet_access::adopt(first);
}

}  // namespace snapshot
STACKLESS_END
