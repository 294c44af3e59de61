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
#include <vector>

#include "core/heap.hpp"

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
