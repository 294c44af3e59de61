#include "serialize/capture.hpp"

#include <algorithm>
#include <string>
#include <utility>

#include <stackless/snapshot_error.hpp>

#include "arch/metadata.hpp"
#include "arch/unwind.hpp"
#include "core/access.hpp"
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
    for (const auto& m : reach_.tasklets()) add(m);
    std::pmr::vector<bool> listed(reach_.tasklets().size(), false, scratch());
    for (const auto& m : reach_.tasklets()) add_channel(*m.record, listed);
    for (const heap::block& b : reach_.blocks()) add(b);
    std::ranges::sort(image_.words, {}, &word::address);
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

  /// The bytes at `from`, with every word that is not restored as it lies there set to zero and listed.
  std::pmr::vector<std::byte> copy(std::span<const std::byte> from) {
    std::pmr::vector<std::byte> bytes(from.size(), scratch());
    copy_words(bytes.data(), from);
    for (std::size_t i = 0; i != bytes.size(); i += 8) {
      const value v = meaning_of(word_at(bytes.data() + i));
      if (v.means == meaning::data) continue;
      std::fill_n(bytes.begin() + static_cast<std::ptrdiff_t>(i), 8, std::byte{});
      image_.words.push_back({.address = word_of(from.data()) + i, .what = v});
    }
    return bytes;
  }

  void add(const closure::member& m) {
    const record& r = *m.record;
    tasklet& t = image_.tasklets.emplace_back(scratch());
    t.home = word_of(&r);
    t.handles = m.handles;
    t.state = state_of(r);
    t.block_trap = r.block_trap;
    t.atomic = r.atomic;
    t.sends_failure = r.sends_failure;
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
    t.pc = meaning_of(r.context.pc);
    t.fp = meaning_of(r.context.fp);
    t.base = meaning_of(r.context.base);
    t.sp = word_of(r.context.sp);
    t.caught = in_snapshot(r, r.exceptions.caught);
    t.uncaught = r.exceptions.uncaught;
    t.waking = waking_of(r);
    t.failure = in_snapshot(r, r.failure);
    t.slot = r.stack->begin;
    const auto live = live_stack(r);
    t.live = word_of(live.data());
    t.stack = copy(live);
    add_frames(r, t);
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

  void add_frames(const record& r, tasklet& t) {
    struct found_frames {
      std::pmr::vector<arch::frame> list{scratch()};
    } found;
    const bool whole = arch::walk(
        r.context, [](void* argument, arch::frame f) { static_cast<found_frames*>(argument)->list.push_back(f); }, &found);
    if (!whole) {
      refuse(&r, "its frames cannot all be found: unwinding stopped before the first",
             "compile all code that runs in it with unwind tables (-fasynchronous-unwind-tables)");
    }
    const auto& list = found.list;
    for (std::size_t i = 0; i != list.size(); ++i) {
      const bool last = i + 1 == list.size();
      const std::uintptr_t end = last ? t.live + t.stack.size() : list[i + 1].low;
      frame& f = t.frames.emplace_back();
      f.pc = meaning_of(list[i].pc);
      f.size = end - list[i].low;
      f.found = last ? return_address::none : find_return_address(list[i].low, end, list[i + 1].pc);
      if (f.pc.means != meaning::module) {
        refuse(&r, "frame " + std::to_string(i) + " at " + hexadecimal(list[i].pc) + " runs code of no loaded module",
               "code made at run time cannot be saved");
      }
      if (!last && f.found == return_address::none) {
        refuse(&r, "the return address of frame " + std::to_string(i) + " is not in it as it is: it is signed",
               "compile with -mbranch-protection=none or bti");
      }
    }
  }

  /// Where the frame [low, end) keeps `target`.
  static return_address find_return_address(std::uintptr_t low, std::uintptr_t end, std::uintptr_t target) {
    const auto holds = [&](std::uintptr_t at) { return word_at(reinterpret_cast<const std::byte*>(at)) == target; };
    if constexpr (this_machine == machine::x86_64) {
      return holds(end - 8) ? return_address::fixed : return_address::none;
    }
    std::size_t places = 0;
    for (std::uintptr_t at = low; at != end; at += 8) places += holds(at);
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
    const span_shape shape = b.of->shape();
    if (image_.spans.empty() || image_.spans.back().begin != shape.begin) {
      image_.spans.push_back({.begin = shape.begin, .size = shape.size, .cell_size = shape.cell_size});
    }
    block& saved = image_.blocks.emplace_back(scratch());
    saved.span = static_cast<std::uint32_t>(image_.spans.size() - 1);
    saved.begin = b.begin;
    const std::size_t first = image_.words.size();
    saved.bytes = copy({reinterpret_cast<const std::byte*>(b.begin), b.size});
    for (std::size_t i = first; i != image_.words.size(); ++i) {
      if (image_.words[i].what.means != meaning::foreign) continue;
      const std::uint64_t at = image_.words[i].address;
      const std::uintptr_t word = word_at(reinterpret_cast<const std::byte*>(at));
      // What this library left on a stack can have been copied with an object's unused bytes; nobody means it.
      if (!arch::metadata::contains(word)) refuse_foreign(b, at, word);
    }
  }

  [[noreturn]] void refuse_foreign(const heap::block& b, std::uint64_t at, std::uintptr_t word) const {
    refuse(reach_.tasklets().front().record,
           "it reaches a heap block of " + std::to_string(b.size) + " bytes at " + hexadecimal(b.begin) + " whose word at +" +
               std::to_string(at - b.begin) + ", " + hexadecimal(word) + ", leads out of the picklable heap",
           "memory of malloc, files, locks and threads cannot be saved: allocate it in the picklable heap, or let go of "
           "it before the dump");
  }

  closure reach_;
  classifier classifier_;
  image image_;
  std::pmr::vector<std::uint32_t> modules_{scratch()};  ///< by index in the image: index in the process
};

}  // namespace

image capture(std::span<record* const> roots) {
#if STACKLESS_ASAN
  if (__asan_get_current_fake_stack() != nullptr) {
    refuse(roots.front(), "AddressSanitizer keeps its locals on fake stacks, which cannot be saved",
           "run with ASAN_OPTIONS=detect_stack_use_after_return=0");
  }
#endif
  return capturer(roots).take();
}

}  // namespace snapshot
STACKLESS_END
