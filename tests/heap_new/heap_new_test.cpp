#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <exception>
#include <memory>
#include <new>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "core/heap.hpp"
#include "tests/core/no_more_memory.hpp"

// clang 14 declares these by itself only with -fsized-deallocation.
void operator delete(void*, std::size_t) noexcept;
void operator delete[](void*, std::size_t) noexcept;
void operator delete(void*, std::size_t, std::align_val_t) noexcept;
void operator delete[](void*, std::size_t, std::align_val_t) noexcept;

namespace {

namespace heap = stackless::heap;

bool in_heap(const void* pointer) {
  return static_cast<bool>(heap::find(reinterpret_cast<std::uintptr_t>(pointer)));
}

// Made before main, by whichever initializer runs first.
[[gnu::init_priority(101)]] std::string early(100, 'e');
std::vector<int> global(1000, 7);

TEST(heap_new, serves_static_constructors) {
  EXPECT_TRUE(in_heap(early.data()));
  EXPECT_TRUE(in_heap(global.data()));
  EXPECT_EQ(early, std::string(100, 'e'));
}

struct late {
  ~late() {
    const auto made = std::make_unique<std::string>(200, 'l');
    if (!in_heap(made.get())) _exit(2);
    delete leftover;
  }
  int* leftover = nullptr;
};

TEST(heap_new, serves_atexit_handlers_and_static_destructors) {
  const pid_t child = fork();
  if (child == 0) {
    static late destroyed_at_exit;
    destroyed_at_exit.leftover = new int(3);
    std::atexit([] {
      std::vector<std::string> many(100, std::string(50, 'x'));
      if (!in_heap(many[99].data())) _exit(3);
    });
    std::exit(0);
  }
  int status = 0;
  waitpid(child, &status, 0);
  EXPECT_TRUE(WIFEXITED(status));
  EXPECT_EQ(WEXITSTATUS(status), 0);
}

struct alignas(256) wide {
  char bytes[300];
};

TEST(heap_new, every_form_of_new_comes_from_the_heap) {
  int* const one = new int;
  int* const some = new int[100];
  wide* const aligned = new wide;
  wide* const aligned_some = new wide[3];
  int* const quiet = new (std::nothrow) int;
  wide* const quiet_aligned = new (std::nothrow) wide;
  for (const void* each :
       {static_cast<void*>(one), static_cast<void*>(some), static_cast<void*>(aligned),
        static_cast<void*>(aligned_some), static_cast<void*>(quiet), static_cast<void*>(quiet_aligned)}) {
    EXPECT_TRUE(in_heap(each));
  }
  EXPECT_EQ(reinterpret_cast<std::uintptr_t>(aligned) % 256, 0u);
  EXPECT_EQ(reinterpret_cast<std::uintptr_t>(&aligned_some[2]) % 256, 0u);
  EXPECT_EQ(reinterpret_cast<std::uintptr_t>(quiet_aligned) % 256, 0u);
  delete one;
  delete[] some;
  delete aligned;
  delete[] aligned_some;
  delete quiet;
  delete quiet_aligned;
  EXPECT_FALSE(in_heap(aligned));
}

/// A form of operator new and one of operator delete that belongs to it. Some are called only when a constructor
/// throws, or by name.
struct pair_of_forms {
  const char* name;
  std::size_t alignment;
  void* (*take)();
  void (*give_back)(void*);
};

constexpr std::size_t bytes = 100;
constexpr std::align_val_t aligned{256};

const pair_of_forms all_forms[] = {
    {"plain", 16, [] { return ::operator new(bytes); }, [](void* p) { ::operator delete(p); }},
    {"sized", 16, [] { return ::operator new(bytes); }, [](void* p) { ::operator delete(p, bytes); }},
    {"nothrow", 16, [] { return ::operator new(bytes, std::nothrow); },
     [](void* p) { ::operator delete(p, std::nothrow); }},
    {"array", 16, [] { return ::operator new[](bytes); }, [](void* p) { ::operator delete[](p); }},
    {"sized array", 16, [] { return ::operator new[](bytes); }, [](void* p) { ::operator delete[](p, bytes); }},
    {"nothrow array", 16, [] { return ::operator new[](bytes, std::nothrow); },
     [](void* p) { ::operator delete[](p, std::nothrow); }},
    {"aligned", 256, [] { return ::operator new(bytes, aligned); },
     [](void* p) { ::operator delete(p, aligned); }},
    {"aligned, sized", 256, [] { return ::operator new(bytes, aligned); },
     [](void* p) { ::operator delete(p, bytes, aligned); }},
    {"aligned, nothrow", 256, [] { return ::operator new(bytes, aligned, std::nothrow); },
     [](void* p) { ::operator delete(p, aligned, std::nothrow); }},
    {"aligned array", 256, [] { return ::operator new[](bytes, aligned); },
     [](void* p) { ::operator delete[](p, aligned); }},
    {"aligned, sized array", 256, [] { return ::operator new[](bytes, aligned); },
     [](void* p) { ::operator delete[](p, bytes, aligned); }},
    {"aligned, nothrow array", 256, [] { return ::operator new[](bytes, aligned, std::nothrow); },
     [](void* p) { ::operator delete[](p, aligned, std::nothrow); }},
};

TEST(heap_new, every_form_of_delete_gives_back_what_its_new_took) {
  for (const pair_of_forms& each : all_forms) {
    void* const block = each.take();
    EXPECT_TRUE(in_heap(block)) << each.name;
    EXPECT_EQ(reinterpret_cast<std::uintptr_t>(block) % each.alignment, 0u) << each.name;
    each.give_back(block);
    EXPECT_FALSE(in_heap(block)) << each.name;
  }
}

TEST(heap_new, vector_of_200_megabytes) {
  std::vector<char> huge(200 << 20);
  huge.front() = huge.back() = 1;
  EXPECT_TRUE(in_heap(&huge.back() + 1));
}

int calls = 0;

TEST(heap_new, new_handler_is_called_until_it_gives_up) {
  constexpr std::size_t too_much = std::size_t{1} << 40;
  calls = 0;
  std::set_new_handler([] {
    if (++calls == 3) std::set_new_handler(nullptr);
  });
  EXPECT_THROW(::operator delete(::operator new(too_much)), std::bad_alloc);
  EXPECT_EQ(calls, 3);

  std::set_new_handler([] { throw std::bad_alloc(); });
  EXPECT_EQ(::operator new(too_much, std::nothrow), nullptr);
  EXPECT_EQ(::operator new(too_much, std::align_val_t(64), std::nothrow), nullptr);
  EXPECT_THROW(::operator delete(::operator new(too_much)), std::bad_alloc);
  std::set_new_handler(nullptr);
  EXPECT_EQ(::operator new(too_much, std::nothrow), nullptr);
}

TEST(heap_new, exception_thrown_lives_in_the_heap_and_leaves_it) {
  const void* thrown = nullptr;
  try {
    throw std::runtime_error("thrown");
  } catch (const std::runtime_error& caught) {
    thrown = &caught;
    EXPECT_TRUE(in_heap(&caught));
    EXPECT_TRUE(in_heap(caught.what()));
    const std::exception_ptr again = std::current_exception();
    EXPECT_NE(again, nullptr);
  }
  EXPECT_FALSE(in_heap(thrown));
}

TEST(heap_new, exception_rethrown_from_another_place_is_the_same_object) {
  const void* thrown = nullptr;
  std::exception_ptr kept;
  try {
    throw std::runtime_error("kept");
  } catch (const std::runtime_error& caught) {
    thrown = &caught;
    kept = std::current_exception();
  }
  for (int again = 0; again < 3; ++again) {
    try {
      std::rethrow_exception(kept);
    } catch (const std::runtime_error& caught) {
      EXPECT_EQ(&caught, thrown);
      EXPECT_STREQ(caught.what(), "kept");
    }
  }
  EXPECT_TRUE(in_heap(thrown));
  kept = nullptr;
  EXPECT_FALSE(in_heap(thrown));
}

#if STACKLESS_CAN_BE_REFUSED_MEMORY
/// While one lives, the heap has no block left of any size, nor can it get one.
class exhausted_heap {
 public:
  exhausted_heap() {
    take_all(std::size_t{1} << 20);
    for (std::size_t size = std::size_t{1} << 16; size >= sizeof(link); size -= 16) take_all(size);
  }
  ~exhausted_heap() {
    while (last_ != nullptr) ::operator delete(std::exchange(last_, last_->before));
  }
  exhausted_heap(const exhausted_heap&) = delete;
  exhausted_heap& operator=(const exhausted_heap&) = delete;

 private:
  struct link {
    link* before;
  };

  void take_all(std::size_t size) {
    while (void* const block = ::operator new(size, std::nothrow)) last_ = new (block) link{last_};
  }

  no_more_memory from_now_on_;
  link* last_ = nullptr;
};

/// What a refused operator new throws.
std::exception_ptr refusal() {
  try {
    ::operator delete(::operator new(bytes));
  } catch (const std::bad_alloc&) {
    return std::current_exception();
  }
  return nullptr;
}

const void* object_of(const std::exception_ptr& thrown) {
  try {
    std::rethrow_exception(thrown);
  } catch (const std::bad_alloc& error) {
    return &error;
  }
}

TEST(heap_new, exceptions_of_an_exhausted_heap_come_from_a_reserve) {
  constexpr std::size_t count = 20;
  std::size_t outside = 0, distinct = 0;
  {
    const exhausted_heap none_left;
    for (int again = 0; again < 3; ++again) {  // more in all than it has places: they are used again
      std::exception_ptr kept[count];
      for (std::exception_ptr& each : kept) each = refusal();
      for (const std::exception_ptr& each : kept) {
        const void* const object = object_of(each);
        outside += !in_heap(object);
        distinct += std::ranges::count(kept, object, object_of) == 1;
      }
    }
  }
  EXPECT_EQ(outside, 3 * count);
  EXPECT_EQ(distinct, 3 * count);
  EXPECT_EQ(refusal(), nullptr);
}

TEST(heap_new_death, exception_that_finds_no_place_anywhere_ends_the_program) {
  const auto use_up_the_reserve = [] {
    const exhausted_heap none_left;
    std::exception_ptr kept[1000];
    for (std::exception_ptr& each : kept) each = refusal();
  };
  EXPECT_DEATH(use_up_the_reserve(), "terminate called without an active exception");
}
#endif

TEST(heap_new_death, foreign_pointer_is_rejected) {
  int local = 0;
  int* volatile foreign = &local;
  EXPECT_DEATH(delete foreign, "stackless: heap: 0x[0-9a-f]+ was given back");
  EXPECT_DEATH(::operator delete[](foreign, std::align_val_t(64)), "stackless: heap: ");
}

TEST(heap_new, threads_throw_and_free_each_others_blocks) {
  constexpr int count = 4;
  std::atomic<std::string*> shared[8] = {};
  std::atomic<int> caught_in_heap = 0;
  std::vector<std::thread> threads;
  for (int me = 0; me < count; ++me) {
    threads.emplace_back([&, me] {
      for (int round = 0; round < 2000; ++round) {
        auto* const mine =
            new std::string(static_cast<std::size_t>(20 + round % 100), static_cast<char>('a' + me));
        delete shared[(round + me) % 8].exchange(mine);
        try {
          throw std::out_of_range("round");
        } catch (const std::exception& caught) {
          caught_in_heap += in_heap(&caught);
        }
      }
    });
  }
  for (std::thread& each : threads) each.join();
  for (auto& each : shared) delete each.load();
  EXPECT_EQ(caught_in_heap, count * 2000);
}

}  // namespace
