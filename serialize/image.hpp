#pragma once

/// A snapshot as plain values: what the file says, and nothing that needs a program, a region or a tasklet to be
/// looked at. Capture fills one in, the writer and the reader carry it to and from bytes, restore brings it to life.
///
/// Everything in the region has the same address in every process, so places are named by their home address. What
/// is elsewhere in each process is named by what it stands for: see `value`. What there are many of lies in one run for
/// the whole image: each tasklet and block has so much of it as it says, and it follows that of the one before.

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory_resource>
#include <span>
#include <string>
#include <vector>

#include "serialize/scratch.hpp"

STACKLESS_BEGIN
namespace snapshot {

// Numbers that are stored: never change or reuse one.

enum class machine : std::uint8_t { x86_64 = 1, aarch64 = 2 };

constexpr const char* name_of(machine m) { return m == machine::x86_64 ? "x86-64" : "AArch64"; }

#if defined(__x86_64__)
inline constexpr machine this_machine = machine::x86_64;
#else
inline constexpr machine this_machine = machine::aarch64;
#endif

/// What a 64-bit word stands for.
enum class meaning : std::uint8_t {
  data = 0,            ///< itself; `number` is the word
  module = 1,          ///< base address of module `index` + `number`
  thread_local_ = 2,   ///< the running thread's block of module `index`'s thread-local storage + `number`
  thread_pointer = 3,  ///< the thread pointer + `number` (two's complement)
  canary = 4,          ///< the stack protector's value
  foreign = 5,         ///< led out of everything a snapshot carries: restored as an address that is never mapped
  stranger = 6,        ///< a tasklet that is not in the snapshot, or its stack: restored likewise
};

enum class state : std::uint8_t {
  not_started = 1,  ///< its callable and arguments wait in the heap; it has no stack
  paused = 2,       ///< parked; in no channel's queue
  sending = 3,      ///< parked in the queue of a channel, with a value
  receiving = 4,    ///< parked in the queue of a channel
  dead = 5,
};

/// What a parked tasklet meets when it wakes.
enum class waking : std::uint8_t {
  normally = 0,
  with_failure = 1,  ///< an exception is thrown
  to_exit = 2,       ///< TaskletExit is thrown
};

/// How a frame's return address was found.
enum class return_address : std::uint8_t {
  none = 0,    ///< the last frame: the trampoline returns to nobody
  fixed = 1,   ///< the ABI puts it just below the caller's frame
  unique = 2,  ///< one word of the frame holds it
  several = 3  ///< several words of the frame hold its value; all are words into the module
};

struct value {
  meaning means = meaning::data;
  std::uint32_t index = 0;
  std::uint64_t number = 0;

  bool operator==(const value&) const = default;
};

/// A loaded ELF object. modules[0] is the program.
struct module {
  std::pmr::string path;
  std::pmr::vector<std::byte> build_id;  ///< GNU build-id; without one, XXH3-128 of the segments never written to
  std::uint64_t size = 0;                ///< bytes from its lowest to its highest loaded address

  explicit module(std::pmr::memory_resource* memory = scratch()) : path(memory), build_id(memory) {}
};

struct frame {
  value pc;                ///< where it goes on: a word into a module
  std::uint64_t size = 0;  ///< bytes up to the frame that called it
  return_address found = return_address::none;
};

struct tasklet {
  std::uint64_t home = 0;     ///< address of its record
  snapshot::state state = state::paused;
  std::uint32_t handles = 0;  ///< handles to it within the snapshot
  bool block_trap = false;    ///< it does not like to be blocked
  bool atomic = false;        ///< no watchdog interrupts it
  bool sends_failure = false; ///< sending: it is `failure` that is sent
  bool sliced = false;        ///< its slot is shared by others, which have the same addresses in turn
  value body, closure;        ///< the function it runs and the block that holds callable and arguments
  value extras;               ///< the block with its name, its locals and those who join it; data 0: none
  value pc, fp, base;         ///< the suspended words (rip, rbp, rbx; pc, x29, x19)
  std::uint64_t sp = 0;
  bool has_value = false;     ///< `transfer` holds an object: one on its way through a channel
  std::array<value, 4> transfer{};  ///< the bytes of the channel operation's value, or a box's address
  value caught;               ///< the newest exception being handled; data 0: none
  std::uint32_t uncaught = 0; ///< exceptions thrown and not yet caught
  snapshot::waking waking = waking::normally;
  value failure;              ///< the exception that it wakes with or sends
  std::uint64_t slot = 0;       ///< where its slot begins; 0: it has none
  std::uint64_t slot_size = 0;  ///< of the slot that it has or will have
  std::uint64_t live = 0;        ///< address of the first live byte of its stack
  std::uint64_t stack_size = 0;  ///< bytes from there on, in image::stacks
  std::size_t frame_count = 0;   ///< in image::frames, innermost first, the trampoline last; the first begins at sp

  /// Only then it has a stack.
  bool parked() const { return state == state::paused || state == state::sending || state == state::receiving; }
};

/// A channel that carried tasklets wait on.
struct channel {
  value where;  ///< module word: a global, found again in the new process. data: home address in the region
  std::pmr::vector<std::uint32_t> waiting;  ///< indices of tasklets, in queue order

  explicit channel(std::pmr::memory_resource* memory = scratch()) : waiting(memory) {}
};

/// A run of equal cells of the heap.
struct span {
  std::uint64_t begin = 0;
  std::uint64_t size = 0;
  std::uint64_t cell_size = 0;
};

/// One of its cells; its bytes are in image::heap.
struct block {
  std::uint32_t span = 0;   ///< index
  std::uint64_t begin = 0;  ///< home address
};

/// A word that is not restored as it lies there. Its bytes in the snapshot are zero.
struct word {
  std::uint64_t offset = 0;  ///< in the payload, a multiple of 8
  value what;
};

/// The bytes of all stacks or of all blocks.
struct payload {
  std::pmr::vector<std::byte> bytes;
  std::pmr::vector<word> words;  ///< by offset

  explicit payload(std::pmr::memory_resource* memory) : bytes(memory), words(memory) {}
};

struct image {
  snapshot::machine machine{};
  std::pmr::string library;  ///< version of the library that wrote it
  std::uint32_t roots = 0;   ///< the first so many tasklets are those that were asked for; the others were reachable
  std::pmr::vector<module> modules;
  std::pmr::vector<tasklet> tasklets;
  std::pmr::vector<frame> frames;
  std::pmr::vector<channel> channels;
  payload stacks;
  std::pmr::vector<span> spans;    ///< by address
  std::pmr::vector<block> blocks;  ///< by address
  payload heap;

  explicit image(std::pmr::memory_resource* memory = scratch())
      : library(memory),
        modules(memory),
        tasklets(memory),
        frames(memory),
        channels(memory),
        stacks(memory),
        spans(memory),
        blocks(memory),
        heap(memory) {}
};

/// Takes the next `count` from what is left of a run.
template <class T>
std::span<T> take(std::span<T>& left, std::size_t count) {
  const std::span<T> taken = left.first(count);
  left = left.subspan(count);
  return taken;
}

}  // namespace snapshot
STACKLESS_END
