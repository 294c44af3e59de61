#pragma once

/// Memory for descriptors: outside the region, outside malloc, so that it can serve operator new itself. It
/// is never given back to the kernel, so a descriptor read by accident after its end is stale at worst.

#include <cstddef>
#include <cstdint>
#include <new>
#include <stackless/config.hpp>

STACKLESS_BEGIN
namespace arch::metadata {

/// Zero, aligned to 16 bytes, for ever. nullptr, with errno set, if the kernel refuses.
void* allocate(std::size_t bytes) noexcept;

/// Does `word` lead into such memory? Only the library's own leftovers can.
bool contains(std::uintptr_t word) noexcept;

/// Objects of one type, used again after their end, and their memory for nothing else. The caller does the
/// locking.
template <class T>
class object_pool {
 public:
  /// A new T; nullptr if the kernel refuses.
  T* create() noexcept {
    node* n = free_;
    if (n != nullptr) {
      free_ = n->next;
    } else {
      n = static_cast<node*>(allocate(sizeof(node)));
      if (n == nullptr) return nullptr;
    }
    return new (n->object) T();
  }

  void destroy(T* object) noexcept {
    object->~T();
    node* n = reinterpret_cast<node*>(object);
    n->next = free_;
    free_ = n;
  }

 private:
  struct node {
    alignas(T) unsigned char object[sizeof(T)];
    node* next;
  };
  static_assert(alignof(node) <= 16);

  node* free_ = nullptr;
};

}  // namespace arch::metadata
STACKLESS_END
