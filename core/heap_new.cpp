#include <unwind.h>

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <exception>
#include <new>
#include <stackless/heap.hpp>
#include <typeinfo>

#include "arch/lock.hpp"
#include "core/heap.hpp"

#ifndef __GLIBCXX__
#error "heap_new replaces the allocation of exceptions of libstdc++, and of no other library"
#endif

using stackless::arch::region::failure;

namespace {

constexpr std::size_t default_alignment = __STDCPP_DEFAULT_NEW_ALIGNMENT__;
static_assert(default_alignment == 16, "what the heap's blocks are aligned to");

/// What [new.delete] asks of operator new: try, call the handler, try again; nullptr when there is no
/// handler.
void* try_new(std::size_t bytes, std::size_t alignment, failure& why) {
  for (;;) {
    if (void* const block = stackless::heap::try_allocate(bytes, alignment, why)) return block;
    const std::new_handler handler = std::get_new_handler();
    if (handler == nullptr) return nullptr;
    handler();
  }
}

void* new_or_throw(std::size_t bytes, std::size_t alignment) {
  failure why;
  void* const block = try_new(bytes, alignment, why);
  if (block == nullptr) why.raise();
  return block;
}

void* new_or_null(std::size_t bytes, std::size_t alignment) noexcept {
  try {
    failure why;
    return try_new(bytes, alignment, why);
  } catch (const std::bad_alloc&) {  // the handler's way to give up
    return nullptr;
  }
}

std::size_t number(std::align_val_t alignment) {
  return static_cast<std::size_t>(alignment);
}

}  // namespace

void* operator new(std::size_t bytes) {
  return new_or_throw(bytes, default_alignment);
}
void* operator new[](std::size_t bytes) {
  return new_or_throw(bytes, default_alignment);
}
void* operator new(std::size_t bytes, std::align_val_t alignment) {
  return new_or_throw(bytes, number(alignment));
}
void* operator new[](std::size_t bytes, std::align_val_t alignment) {
  return new_or_throw(bytes, number(alignment));
}

void* operator new(std::size_t bytes, const std::nothrow_t&) noexcept {
  return new_or_null(bytes, default_alignment);
}
void* operator new[](std::size_t bytes, const std::nothrow_t&) noexcept {
  return new_or_null(bytes, default_alignment);
}
void* operator new(std::size_t bytes, std::align_val_t alignment, const std::nothrow_t&) noexcept {
  return new_or_null(bytes, number(alignment));
}
void* operator new[](std::size_t bytes, std::align_val_t alignment, const std::nothrow_t&) noexcept {
  return new_or_null(bytes, number(alignment));
}

// A block's cell says how large it is, so the sizes and alignments that delete is told are not needed.
void operator delete(void* block) noexcept {
  stackless::heap::deallocate(block);
}
void operator delete[](void* block) noexcept {
  stackless::heap::deallocate(block);
}
void operator delete(void* block, std::size_t) noexcept {
  stackless::heap::deallocate(block);
}
void operator delete[](void* block, std::size_t) noexcept {
  stackless::heap::deallocate(block);
}
void operator delete(void* block, std::align_val_t) noexcept {
  stackless::heap::deallocate(block);
}
void operator delete[](void* block, std::align_val_t) noexcept {
  stackless::heap::deallocate(block);
}
void operator delete(void* block, std::size_t, std::align_val_t) noexcept {
  stackless::heap::deallocate(block);
}
void operator delete[](void* block, std::size_t, std::align_val_t) noexcept {
  stackless::heap::deallocate(block);
}
void operator delete(void* block, const std::nothrow_t&) noexcept {
  stackless::heap::deallocate(block);
}
void operator delete[](void* block, const std::nothrow_t&) noexcept {
  stackless::heap::deallocate(block);
}
void operator delete(void* block, std::align_val_t, const std::nothrow_t&) noexcept {
  stackless::heap::deallocate(block);
}
void operator delete[](void* block, std::align_val_t, const std::nothrow_t&) noexcept {
  stackless::heap::deallocate(block);
}

// Exceptions bypass operator new. libstdc++ puts a header before the object thrown; both layouts, from its
// unwind-cxx.h, have been the same since GCC 4.5. All four functions are here, so that the library's own
// object file for them is not linked in a static program.
namespace {

struct exception_header {
  std::type_info* type;
  void (*destructor)(void*);
  void (*unexpected_handler)();
  std::terminate_handler terminate_handler;
  void* next;
  int handler_count;
  int handler_switch;
  const unsigned char* action_record;
  const unsigned char* language_data;
  _Unwind_Ptr catch_temp;
  void* adjusted;
  _Unwind_Exception unwind;
};

struct counted_exception_header {
  int references;
  exception_header header;
};
static_assert(sizeof(exception_header) == 112 && sizeof(counted_exception_header) == 128);

/// The header of an exception that std::rethrow_exception throws: it refers to another one's object.
constexpr std::size_t dependent_size = sizeof(exception_header);

/// For exceptions when the heap is exhausted: the one that says so, above all. Objects in here cannot be
/// saved.
class reserve {
 public:
  void* allocate(std::size_t bytes) noexcept {
    if (bytes > sizeof(places_[0])) return nullptr;
    stackless::arch::locked hold(lock_);
    for (std::size_t i = 0; i < count; ++i) {
      if (used_[i]) continue;
      used_[i] = true;
      return places_[i];
    }
    return nullptr;
  }

  /// False if the block is not one of these.
  bool release(void* block) noexcept {
    const std::size_t offset =
        reinterpret_cast<std::uintptr_t>(block) - reinterpret_cast<std::uintptr_t>(places_);
    if (offset >= sizeof places_) return false;
    stackless::arch::locked hold(lock_);
    used_[offset / sizeof(places_[0])] = false;
    return true;
  }

 private:
  static constexpr std::size_t count = 32;

  stackless::arch::spin_lock lock_;
  bool used_[count] = {};
  alignas(16) unsigned char places_[count][1024] = {};
};

constinit reserve emergency;

void* allocate_exception(std::size_t bytes) noexcept {
  failure why;
  void* block = stackless::heap::try_allocate(bytes, default_alignment, why);
  if (block == nullptr) block = emergency.allocate(bytes);
  if (block == nullptr) std::terminate();
  return block;
}

void free_exception(void* block) noexcept {
  if (!emergency.release(block)) stackless::heap::deallocate(block);
}

}  // namespace

namespace __cxxabiv1 {

extern "C" {

void* __cxa_allocate_exception(std::size_t thrown_size) noexcept {
  void* const block = allocate_exception(sizeof(counted_exception_header) + thrown_size);
  std::memset(block, 0, sizeof(counted_exception_header));
  return static_cast<char*>(block) + sizeof(counted_exception_header);
}

void __cxa_free_exception(void* thrown) noexcept {
  free_exception(static_cast<char*>(thrown) - sizeof(counted_exception_header));
}

void* __cxa_allocate_dependent_exception() noexcept {
  return std::memset(allocate_exception(dependent_size), 0, dependent_size);
}

void __cxa_free_dependent_exception(void* dependent) noexcept {
  free_exception(dependent);
}

}  // extern "C"

}  // namespace __cxxabiv1
