// The program's operator new, which counts. It is in a file of its own: where a compiler sees the
// inside of both operators, it warns that memory of one is freed by the other.
#include <stddef.h>
#include <stdlib.h>

#include <algorithm>
#include <atomic>
#include <new>

#include "test/check.h"

namespace {

std::atomic<size_t> allocations{0};

void* Allocate(size_t size, size_t alignment) {
  ++allocations;
  size_t rounded = (std::max<size_t>(size, 1) + alignment - 1) / alignment * alignment;
  void* memory = aligned_alloc(alignment, rounded);
  if (memory == nullptr) abort();
  return memory;
}

}  // namespace

void* operator new(size_t size) {
  return Allocate(size, alignof(max_align_t));
}
void* operator new(size_t size, std::align_val_t alignment) {
  return Allocate(size, static_cast<size_t>(alignment));
}
void operator delete(void* memory) noexcept {
  free(memory);
}
void operator delete(void* memory, size_t) noexcept {
  free(memory);
}
void operator delete(void* memory, std::align_val_t) noexcept {
  free(memory);
}
void operator delete(void* memory, size_t, std::align_val_t) noexcept {
  free(memory);
}

size_t rss_test::Allocations() {
  return allocations;
}
