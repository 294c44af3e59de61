// The heap in several threads: what one allocates and another frees, what threads leave behind, and forks amid that.

#include <gtest/gtest.h>
#include <pthread.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <functional>
#include <memory>
#include <random>
#include <thread>
#include <utility>
#include <vector>

#include "arch/fence.hpp"
#include "core/cell_cache.hpp"
#include "core/extents.hpp"
#include "core/heap.hpp"
#include "tests/core/heap_helpers.hpp"
#include "tests/core/refused_calls.hpp"

namespace {

namespace heap = stackless::heap;
namespace region = stackless::arch::region;
using stackless::span_shape;
using stackless::arch::granule_size;

/// Runs `body` in a thread of its own, to its end.
template <class Body>
void elsewhere(Body body) {
  std::thread(body).join();
}

/// A thread that does something until the end of the scope.
class busy_thread {
 public:
  template <class Body>
  explicit busy_thread(Body body)
      : thread_([this, body] {
          while (!done_) body();
        }) {}
  ~busy_thread() {
    done_ = true;
    thread_.join();
  }

 private:
  std::atomic<bool> done_ = false;
  std::thread thread_;
};

/// A thread that does what it is told and waits between.
class waiting_thread {
 public:
  ~waiting_thread() {
    does([this] { done_ = true; });
    thread_.join();
  }

  void does(const std::function<void()>& what) {
    give_turn(&what);
    told_.wait(&what);
  }

 private:
  using order = const std::function<void()>*;

  void give_turn(order what) {
    told_ = what;
    told_.notify_all();
  }

  bool done_ = false;
  std::atomic<order> told_ = nullptr;
  std::thread thread_{[this] {
    while (!done_) {
      told_.wait(nullptr);
      (*told_)();
      give_turn(nullptr);
    }
  }};
};

std::size_t bytes_in_spans() {
  using namespace stackless::arch;
  std::size_t bytes = 0;
  for (std::uintptr_t at = region_begin; const extent* found = region::find_first(at, region_end - at);
       at = found->end()) {
    if (found->kind == stackless::extent_kind::heap) bytes += found->size;
  }
  return bytes;
}

std::vector<void*> blocks_of(std::size_t size, std::size_t count) {
  std::vector<void*> blocks(count);
  for (void*& each : blocks) each = heap::allocate(size);
  return blocks;
}

void free_all(const std::vector<void*>& blocks) {
  for (void* each : blocks) heap::deallocate(each);
}

/// A block that begins with its size and is filled with a pattern.
class filled {
 public:
  static std::uint32_t* make(std::minstd_rand& random) {
    const auto words = static_cast<std::uint32_t>(2 + random() % (random() % 100 == 0 ? 20'000 : 80));
    auto* const block = static_cast<std::uint32_t*>(heap::allocate(words * sizeof(std::uint32_t)));
    if (!is_zero(block, words * sizeof(std::uint32_t))) return nullptr;
    block[0] = words;
    for (std::uint32_t i = 1; i < words; ++i) block[i] = words * 31 + i;
    return block;
  }
  static bool is_right(const std::uint32_t* block) {
    const std::uint32_t words = block[0];
    for (std::uint32_t i = 1; i < words; ++i) {
      if (block[i] != words * 31 + i) return false;
    }
    return true;
  }
};

TEST(heap_threads, blocks_are_whole_whoever_frees_them) {
  constexpr std::size_t count = 4;
  constexpr int rounds = 20'000;
  std::array<std::atomic<std::uint32_t*>, 256> shared = {};
  std::atomic<int> wrong = 0;
  std::vector<std::thread> threads;
  for (std::size_t me = 0; me < count; ++me) {
    threads.emplace_back([&, me] {
      std::minstd_rand random(static_cast<unsigned>(me + 1));
      std::array<std::uint32_t*, 256> own = {};
      for (int round = 0; round < rounds; ++round) {
        std::uint32_t* block = filled::make(random);
        if (block == nullptr) {
          ++wrong;
          break;
        }
        const std::size_t place = random() % 256;
        block = random() % 2 == 0 ? std::exchange(own[place], block) : shared[place].exchange(block);
        if (block != nullptr && !filled::is_right(block)) ++wrong;
        heap::deallocate(block);
      }
      for (std::uint32_t* each : own) heap::deallocate(each);
    });
  }
  for (std::thread& each : threads) each.join();
  for (auto& each : shared) heap::deallocate(each.load());
  EXPECT_EQ(wrong, 0);
}

TEST(heap_threads, spans_of_ended_threads_are_used_by_later_ones) {
  std::size_t after_the_first_few = 0;
  for (int round = 0; round < 200; ++round) {
    std::vector<void*> left;
    elsewhere([&left] {
      for (const std::size_t size : {20, 100, 500, 3000}) free_all(blocks_of(size, 100));
      left = blocks_of(100, 50);
    });
    free_all(left);
    if (round == 10) after_the_first_few = bytes_in_spans();
  }
  EXPECT_EQ(bytes_in_spans(), after_the_first_few);
}

TEST(heap_threads, cells_that_an_ended_thread_left_free_are_used_beside_those_it_left_live) {
  constexpr std::size_t size = 2000;
  std::vector<void*> left;
  elsewhere([&left] {
    left = blocks_of(size, 1000);
    for (std::size_t i = 0; i < left.size(); i += 2) heap::deallocate(std::exchange(left[i], nullptr));
  });
  const std::size_t before = bytes_in_spans();
  elsewhere([before] {
    const auto mine = blocks_of(size, 400);
    EXPECT_EQ(bytes_in_spans(), before);
    free_all(mine);
  });
  free_all(left);
}

TEST(heap_threads, what_an_idle_thread_allocated_goes_back_when_another_frees_it) {
  const std::size_t before = bytes_in_spans();
  const auto blocks = blocks_of(100, 50'000);
  EXPECT_GT(bytes_in_spans(), before + 70 * granule_size);
  elsewhere([&blocks] { free_all(blocks); });
  EXPECT_LE(bytes_in_spans(), before + 3 * granule_size);
}

TEST(heap_threads, memory_does_not_grow_while_one_allocates_and_another_frees) {
  waiting_thread other;
  std::size_t after_the_first_few = 0;
  for (int round = 0; round < 60; ++round) {
    const auto blocks = blocks_of(200, 3000);
    other.does([&blocks] { free_all(blocks); });
    if (round == 10) after_the_first_few = bytes_in_spans();
  }
  EXPECT_LE(bytes_in_spans(), after_the_first_few + 2 * granule_size);
}

TEST(heap_threads, thread_that_only_frees_does_not_keep_what_it_leaves_free) {
  waiting_thread other;
  std::vector<void*> survivors;
  std::size_t after_the_first_few = 0;
  for (int round = 0; round < 100; ++round) {
    const auto blocks = blocks_of(1000, 640);
    for (std::size_t i = 0; i < blocks.size(); i += 64) survivors.push_back(blocks[i]);
    other.does([&blocks] {
      for (std::size_t i = 0; i < blocks.size(); ++i) {
        if (i % 64 != 0) heap::deallocate(blocks[i]);
      }
    });
    if (round == 20) after_the_first_few = bytes_in_spans();
  }
  const std::size_t survived = 80 * 10 * 1024;
  EXPECT_LE(bytes_in_spans(), after_the_first_few + survived + stackless::cell_cache::most_spans * granule_size);
  free_all(survivors);
}

TEST(heap_threads, other_threads_see_what_is_live) {
  void* const kept = heap::allocate(100);
  void* const freed = heap::allocate(100);
  elsewhere([=] {
    EXPECT_EQ(heap::find(word(kept) + 99).begin, word(kept));
    EXPECT_EQ(heap::find(word(freed) + 99).begin, word(freed));
    heap::deallocate(freed);
    EXPECT_FALSE(heap::find(word(freed)));
  });
  EXPECT_FALSE(heap::find(word(freed)));
  EXPECT_TRUE(is_zero(freed, 100));
  std::atomic<int> lost = 0;
  {
    const busy_thread asking([&] { lost += !heap::find(word(kept)); });
    for (int round = 0; round < 100; ++round) free_all(blocks_of(100, 700));
  }
  EXPECT_EQ(lost, 0);
  heap::deallocate(kept);
}

TEST(heap_threads, cell_freed_elsewhere_is_used_again_once_the_others_are_taken) {
  waiting_thread owner;
  void* freed = nullptr;
  std::vector<void*> blocks;
  owner.does([&] { blocks = blocks_of(30'000, 3); });
  freed = std::exchange(blocks[1], nullptr);
  heap::deallocate(freed);
  bool again = false;
  owner.does([&] {
    for (int i = 0; i < 8; ++i) {
      blocks.push_back(heap::allocate(30'000));
      again |= blocks.back() == freed;
    }
  });
  EXPECT_TRUE(again);
  free_all(blocks);
}

TEST(heap_threads_death, block_freed_by_two_threads_is_given_back_twice) {
  void* const block = heap::allocate(100);
  void* const neighbour = heap::allocate(100);  // keeps the span in its place
  elsewhere([=] { heap::deallocate(block); });
  EXPECT_DEATH(heap::deallocate(block), "stackless: heap: 0x[0-9a-f]+ was given back, but .* given back twice");
  EXPECT_DEATH(elsewhere([=] { heap::deallocate(block); }), "given back twice");
  heap::deallocate(neighbour);
}

/// A block that the destructor of thread-specific data frees, which runs later than that of the heap's own.
pthread_key_t late_key() {
  static const pthread_key_t key = [] {
    heap::deallocate(heap::allocate(1));  // so that the heap has its key
    pthread_key_t made{};
    pthread_key_create(&made, [](void* block) {
      EXPECT_EQ(stackless::my_caches().now, stackless::thread_caches::state::closed);
      heap::deallocate(block);
      EXPECT_FALSE(heap::find(word(block)));
      free_all(blocks_of(100, 2000));
      for (const auto& each : stackless::my_caches().of) EXPECT_EQ(each.owned.first, nullptr);
    });
    return made;
  }();
  return key;
}

TEST(heap_threads, heap_works_after_the_threads_own_part_of_it_is_closed) {
  std::atomic<void*> left = nullptr;
  for (int round = 0; round < 3; ++round) {
    elsewhere([&] {
      pthread_setspecific(late_key(), heap::allocate(100));
      thread_local std::shared_ptr<void> at_the_end(heap::allocate(200), heap::deallocate);
      EXPECT_TRUE(heap::find(word(at_the_end.get())));
      left = at_the_end.get();
    });
    EXPECT_FALSE(heap::find(word(left)));
  }
}

TEST(heap_threads, home_in_a_span_that_another_thread_owns_can_be_claimed) {
  waiting_thread owner;
  std::vector<void*> blocks;
  owner.does([&] { blocks = blocks_of(48, 10); });
  const span_shape shape = heap::find(word(blocks[0])).of->shape();
  const std::uintptr_t home = word(blocks[3]);
  owner.does([&] { heap::deallocate(std::exchange(blocks[3], nullptr)); });
  EXPECT_FALSE(heap::claim(word(blocks[4]), shape));
  EXPECT_EQ(heap::claim(home, shape), stackless::arch::fence_all_threads());
  owner.does([&] {
    for (int i = 0; i < 3000; ++i) {
      blocks.push_back(heap::allocate(48));
      EXPECT_NE(word(blocks.back()), home);
    }
  });
  EXPECT_EQ(heap::find(home + 48).begin, home);
  heap::deallocate(reinterpret_cast<void*>(home));
  free_all(blocks);
}

#if STACKLESS_CAN_BE_REFUSED_CALLS
TEST(heap_threads, home_in_a_span_of_another_thread_is_not_claimed_where_the_kernel_refuses_fences) {
  waiting_thread owner;
  void* neighbour = nullptr;
  std::uintptr_t home = 0;
  span_shape shape;
  owner.does([&] {
    neighbour = heap::allocate(48);
    void* const freed = heap::allocate(48);
    home = word(freed);
    shape = heap::find(home).of->shape();
    heap::deallocate(freed);
  });
  elsewhere([&] {
    ASSERT_TRUE(refuse_call(SYS_membarrier));
    EXPECT_FALSE(heap::claim(home, shape));
  });
  owner.does([] { free_all(blocks_of(48, 3000)); });
  EXPECT_EQ(heap::claim(home, shape), stackless::arch::fence_all_threads());
  if (heap::find(home)) heap::deallocate(reinterpret_cast<void*>(home));
  heap::deallocate(neighbour);
}
#endif

TEST(heap_threads, claims_are_exact_while_the_owner_allocates) {
  waiting_thread owner;
  std::vector<void*> blocks;
  owner.does([&] { blocks = blocks_of(48, 100); });
  const std::uintptr_t home = word(blocks.back());
  const span_shape shape = heap::find(home).of->shape();
  int claimed = 0;
  {
    const busy_thread other([] { free_all(blocks_of(48, 500)); });
    for (int round = 0; round < 50; ++round) {
      owner.does([&] { heap::deallocate(blocks.back()); });
      if (heap::claim(home, shape)) {
        ++claimed;
        EXPECT_TRUE(is_zero(reinterpret_cast<void*>(home), 48));
      } else {
        owner.does([&] { blocks.back() = heap::allocate(48); });
      }
    }
  }
  EXPECT_EQ(claimed > 0, stackless::arch::fence_all_threads());
  free_all(blocks);
}

TEST(heap_threads, empty_span_of_another_thread_makes_way_for_a_home) {
  waiting_thread owner;
  std::uintptr_t begin = 0;
  owner.does([&] {
    void* const block = heap::allocate(900);
    begin = heap::find(word(block)).of->begin;
    heap::deallocate(block);
  });
  ASSERT_NE(region::find(begin), nullptr);
  EXPECT_EQ(heap::claim(begin + 64, {begin, granule_size, 64}), stackless::arch::fence_all_threads());
  owner.does([] { free_all(blocks_of(900, 200)); });
  if (heap::find(begin + 64)) heap::deallocate(reinterpret_cast<void*>(begin + 64));
}

#if !STACKLESS_TSAN  // it allows no threads in a process that forks
TEST(heap_threads_fork, no_lock_is_left_taken_in_the_child) {
  const busy_thread busy([] {
    heap::deallocate(heap::allocate(48));
    heap::deallocate(heap::allocate(100'000));
  });
  for (int i = 0; i < 50; ++i) {
    EXPECT_EQ(in_child([] {
                alarm(20);
                heap::deallocate(heap::allocate(48));
                heap::deallocate(heap::allocate(100'000));
                return 0;
              }),
              0);
  }
}

#if !STACKLESS_ASAN  // a thread of the parent may have taken a lock of its allocator, and new threads allocate there
TEST(heap_threads_fork, child_frees_what_threads_of_its_parent_own_and_allocates_elsewhere) {
  waiting_thread owner;
  std::vector<void*> inherited;
  owner.does([&] { inherited = blocks_of(100, 3000); });
  const auto mine = blocks_of(100, 3000);
  inherited.insert(inherited.end(), mine.begin(), mine.end());
  // Without malloc: AddressSanitizer's may be left locked in the child.
  const busy_thread busy([] {
    std::array<void*, 900> blocks;
    for (void*& each : blocks) each = heap::allocate(100);
    for (void* each : blocks) heap::deallocate(each);
  });
  for (int i = 0; i < 20; ++i) {
    // Its threads have the stacks, and with them the caches' addresses, that those of its parent had.
    EXPECT_EQ(in_child([&] {
                alarm(20);
                int wrong = 0;
                for (std::size_t part = 0; part < 4; ++part) {
                  elsewhere([&] {
                    for (std::size_t each = part; each < inherited.size(); each += 4) {
                      wrong += chunk_of(heap::allocate(100)) == chunk_of(inherited[0]);
                      heap::deallocate(inherited[each]);
                      wrong += static_cast<bool>(heap::find(word(inherited[each])));
                    }
                  });
                }
                return wrong;
              }),
              0);
  }
  free_all(inherited);
}
#endif
#endif

}  // namespace
