#include "serialize/capture.hpp"

#include <algorithm>
#include <memory>
#include <string>
#include <unordered_map>
#include <utility>

#include <stackless/snapshot_error.hpp>

#include "arch/metadata.hpp"
#include "arch/unwind.hpp"
#include "core/access.hpp"
#include "core/slice.hpp"
#include "core/slot.hpp"
#include "serialize/classify.hpp"
#include "serialize/closure.hpp"
#include "serialize/raw.hpp"
#include "serialize/refusal.hpp"

#if STACKLESS_ASAN
extern "C" void* __asan_get_current_fake_stack(void);
#endif

STACKLESS_BEGIN
namespace snapshot {
namespace {

using detail::record;

template <class T>
std::uintptr_t word_of(T* pointer) {
  return reinterpret_cast<std::uintptr_t>(pointer);
}

class capturer {
 public:
  explicit capturer(std::span<record* const> roots) : reach_(roots) {
    image_.machine = this_machine;
    image_.library = STACKLESS_VERSION;
    image_.roots = static_cast<std::uint32_t>(roots.size());
    module_index(0);  // the program
    image_.tasklets.reserve(reach_.tasklets().size());
    image_.stacks.bytes.reserve(reach_.stack_bytes());
    image_.blocks.reserve(reach_.blocks().size());
    image_.heap.bytes.reserve(reach_.heap_bytes());
    for (const auto& m : reach_.tasklets()) add(m);
    std::pmr::vector<bool> listed(reach_.tasklets().size(), false, scratch());
    for (const auto& m : reach_.tasklets()) add_channel(*m.record, listed);
    for (const heap::block& b : reach_.blocks()) add(b);
  }

  image take() && { return std::move(image_); }

 private:
  /// The index in the image of the module that has this index in the process.
  std::uint32_t module_index(std::uint32_t in_process) {
    const auto known = std::ranges::find(modules_, in_process);
    if (known != modules_.end()) return static_cast<std::uint32_t>(known - modules_.begin());
    const loaded_module& loaded = classifier_.modules().all()[in_process];
    module& m = image_.modules.emplace_back(scratch());
    m.path = loaded.path;
    m.build_id = loaded.build_id;
    m.size = loaded.size();
    modules_.push_back(in_process);
    return static_cast<std::uint32_t>(modules_.size() - 1);
  }

  /// What `word` stands for, in terms of the image.
  value meaning_of(std::uintptr_t word) {
    value v = classifier_.classify(word);
    if (v.means == meaning::module || v.means == meaning::thread_local_) v.index = module_index(v.index);
    if (v.means == meaning::data && arch::region::contains(word) && reach_.stays_behind(word)) {
      v = {.means = meaning::stranger};
    }
    return v;
  }

  template <class T>
  value meaning_of(T* pointer) {
    return meaning_of(word_of(pointer));
  }

  /// Takes the bytes at `from` along. Returns their offset.
  static std::size_t append(payload& to, std::span<const std::byte> from) {
    const std::size_t offset = to.bytes.size();
    to.bytes.resize(offset + from.size());
    copy_words(&to.bytes[offset], from);
    return offset;
  }

  /// From `offset` on, every word that is not restored as it lies there is set to zero and listed.
  void name_words(payload& of, std::size_t offset) {
    for (; offset != of.bytes.size(); offset += 8) {
      std::byte* const at = &of.bytes[offset];
      const value v = meaning_of(load<std::uint64_t>(at));
      if (v.means == meaning::data) continue;
      store(at, std::uint64_t{0});
      of.words.push_back({.offset = offset, .what = v});
    }
  }

  void add(const closure::member& m) {
    record& r = *m.record;
    tasklet& t = image_.tasklets.emplace_back();
    t.home = word_of(&r);
    t.handles = m.handles;
    t.state = state_of(r);
    t.block_trap = r.block_trap;
    t.atomic = r.atomic;
    t.sends_failure = r.sends_failure;
    t.sliced = r.sliced;
    t.slot_size = slots::size_of(r.size_class);
    t.extras = meaning_of(r.extras);
    if (t.state == state::dead) return;
    t.has_value = r.has_cargo;
    if (r.has_cargo) {
      for (std::size_t i = 0; i != t.transfer.size(); ++i) t.transfer[i] = meaning_of(word_at(r.cargo + 8 * i));
    }
    if (t.state == state::not_started) {
      t.body = meaning_of(word_of(r.body));
      t.closure = meaning_of(r.closure);
      return;
    }
    const arch::context& parked = slices::context_of(&r);
    t.pc = meaning_of(parked.pc);
    t.fp = meaning_of(parked.fp);
    t.base = meaning_of(parked.base);
    t.sp = word_of(parked.sp);
    t.caught = in_snapshot(r, r.exceptions.caught);
    t.uncaught = r.exceptions.uncaught;
    t.waking = waking_of(r);
    t.failure = in_snapshot(r, r.failure);
    t.slot = r.stack->begin;
    const live_stack live(&r);
    t.live = live.begin;
    t.stack_size = live.bytes.size();
    const std::size_t offset = append(image_.stacks, live.bytes);
    add_frames(&r, t, std::span(image_.stacks.bytes).subspan(offset + t.sp - t.live));
    name_words(image_.stacks, offset);
  }

  static state state_of(const record& r) {
    if (!r.alive()) return state::dead;
    if (!r.started) return state::not_started;
    if (r.state == detail::state::sending) return state::sending;
    if (r.state == detail::state::receiving) return state::receiving;
    return state::paused;
  }

  static waking waking_of(const record& r) {
    switch (r.wake) {
      case detail::wake::with_failure:
        return waking::with_failure;
      case detail::wake::to_exit:
        return waking::to_exit;
      case detail::wake::normally:
        break;
    }
    return waking::normally;
  }

  /// An exception that the tasklet handles or is about to throw.
  value in_snapshot(const record& r, void* exception) {
    const value v = meaning_of(exception);
    if (v.means == meaning::foreign) {
      refuse(&r, "an exception is in flight that was not allocated in the picklable heap",
             "link the program with stackless::heap_new");
    }
    return v;
  }

  /// The frames of a parked stack.
  struct shape {
    std::size_t walked = 0;  ///< index of the first in walked_
    std::size_t first = 0;   ///< and in image_.frames
    std::size_t count = 0;
  };

  /// `stack`: its bytes as they are, from the stack pointer on.
  void add_frames(record* r, tasklet& t, std::span<const std::byte> stack) {
    const auto [at, is_new] = shapes_.try_emplace(word_of(slices::context_of(r).pc));
    shape& known = at->second;
    if (is_new || !has_shape(stack, known)) {
      known = find_frames(r, stack);
    } else {
      for (std::size_t i = 0; i != known.count; ++i) image_.frames.push_back(frame(image_.frames[known.first + i]));
    }
    t.frame_count = known.count;
  }

  /// The stack of another tasklet that waits at the same place has these frames too if it keeps the same return addresses
  /// where they do: then it has not to be unwound.
  bool has_shape(std::span<const std::byte> stack, const shape& known) const {
    for (std::size_t i = 0; i != known.count; ++i) {
      const frame& f = image_.frames[known.first + i];
      if (f.size > stack.size()) return false;
      const auto bytes = snapshot::take(stack, f.size);
      const bool last = i + 1 == known.count;
      if (!last && find_return_address(bytes, walked_[known.walked + i + 1].pc) != f.found) return false;
    }
    return stack.empty();
  }

  /// Nothing here may lie on the stack that this is called on: it may be away.
  static bool walk(record* r, void* self) {
    return arch::walk(
        r->context, [](void* me, arch::frame f) { static_cast<capturer*>(me)->walked_.push_back(f); }, self);
  }

  shape find_frames(record* r, std::span<const std::byte> stack) {
    shape found{.walked = walked_.size(), .first = image_.frames.size()};
    if (!slices::in_place(r, walk, this)) {
      refuse(r, "its frames cannot all be found: unwinding stopped before the first",
             "compile all code that runs in it with unwind tables (-fasynchronous-unwind-tables)");
    }
    found.count = walked_.size() - found.walked;
    for (std::size_t i = 0; i != found.count; ++i) {
      const arch::frame* const at = &walked_[found.walked + i];
      const bool last = i + 1 == found.count;
      frame& f = image_.frames.emplace_back();
      f.pc = meaning_of(at->pc);
      f.size = last ? stack.size() : at[1].low - at->low;
      const auto bytes = snapshot::take(stack, f.size);
      if (!last) f.found = find_return_address(bytes, at[1].pc);
      if (f.pc.means != meaning::module) {
        refuse(r, "frame " + std::to_string(i) + " at " + hexadecimal(at->pc) + " runs code of no loaded module",
               "code made at run time cannot be saved");
      }
      if (!last && f.found == return_address::none) {
        refuse(r, "the return address of frame " + std::to_string(i) + " is not in it as it is: it is signed",
               "compile with -mbranch-protection=none or bti");
      }
    }
    return found;
  }

  /// Where a frame keeps `target`.
  static return_address find_return_address(std::span<const std::byte> frame, std::uintptr_t target) {
    const auto holds = [&](std::size_t i) { return load<std::uint64_t>(&frame[i]) == target; };
    if constexpr (this_machine == machine::x86_64) {
      return !frame.empty() && holds(frame.size() - 8) ? return_address::fixed : return_address::none;
    }
    std::size_t places = 0;
    for (std::size_t i = 0; i != frame.size(); i += 8) places += holds(i);
    return places == 0 ? return_address::none : places == 1 ? return_address::unique : return_address::several;
  }

  /// The channel that `r` waits on, if it is not there yet. `listed`: the tasklets that wait on channels that are.
  void add_channel(const record& r, std::pmr::vector<bool>& listed) {
    if (!r.blocked() || listed[reach_.index_of(&r)]) return;
    const value where = meaning_of(r.blocked_on.get());
    if (where.means != meaning::module && where.means != meaning::data) {
      refuse(&r, "it waits on a channel that cannot be saved with it: on the stack of another tasklet or of the thread, "
                 "or in memory outside the picklable heap",
             "make the channel a global, a local of a tasklet that is saved too, or a block of stackless::heap");
    }
    channel& c = image_.channels.emplace_back(scratch());
    c.where = where;
    for (const record* waiting = channel_access::front(*r.blocked_on); waiting != nullptr; waiting = waiting->next) {
      if (!reach_.carries(waiting)) continue;
      c.waiting.push_back(reach_.index_of(waiting));
      listed[c.waiting.back()] = true;
    }
  }

  void add(const heap::block& b) {
    const span_shape of = b.of->shape();
    if (image_.spans.empty() || image_.spans.back().begin != of.begin) {
      image_.spans.push_back({.begin = of.begin, .size = of.size, .cell_size = of.cell_size});
    }
    image_.blocks.push_back({.span = static_cast<std::uint32_t>(image_.spans.size() - 1), .begin = b.begin});
    const auto* const bytes = reinterpret_cast<const std::byte*>(b.begin);
    const std::size_t first = image_.heap.words.size();
    const std::size_t offset = append(image_.heap, {bytes, b.size});
    name_words(image_.heap, offset);
    for (const word& w : std::span(image_.heap.words).subspan(first)) {
      if (w.what.means != meaning::foreign) continue;
      const std::size_t at = w.offset - offset;
      // What this library left on a stack can have been copied with an object's unused bytes; nobody means it.
      if (const std::uintptr_t word = word_at(bytes + at); !arch::metadata::contains(word)) refuse_foreign(b, at, word);
    }
  }

  [[noreturn]] void refuse_foreign(const heap::block& b, std::size_t at, std::uintptr_t word) const {
    refuse(reach_.tasklets().front().record,
           "it reaches a heap block of " + std::to_string(b.size) + " bytes at " + hexadecimal(b.begin) + " whose word at +" +
               std::to_string(at) + ", " + hexadecimal(word) + ", leads out of the picklable heap",
           "memory of malloc, files, locks and threads cannot be saved: allocate it in the picklable heap, or let go of "
           "it before the dump");
  }

  closure reach_;
  classifier classifier_;
  image image_;
  std::pmr::vector<std::uint32_t> modules_{scratch()};  ///< by index in the image: index in the process
  std::pmr::vector<arch::frame> walked_{scratch()};     ///< frames that were found by unwinding
  std::pmr::unordered_map<std::uintptr_t, shape> shapes_{scratch()};  ///< by where they go on: found there last
};

}  // namespace

image capture(std::span<record* const> roots) {
#if STACKLESS_ASAN
  if (__asan_get_current_fake_stack() != nullptr) {
    refuse(roots.front(), "AddressSanitizer keeps its locals on fake stacks, which cannot be saved",
           "run with ASAN_OPTIONS=detect_stack_use_after_return=0");
  }
#endif
  // Not on this stack, which is away while the frames of another that shares its addresses are looked at.
  const auto work = std::allocate_shared<capturer>(std::pmr::polymorphic_allocator<capturer>(scratch()), roots);
  return std::move(*work).take();
}

}  // namespace snapshot
STACKLESS_END
