// A bounded queue for any number of producers and consumers, without locks and allocations: Dmitry
// Vyukov's bounded MPMC queue. A sequence number per entry says whose turn it is: equal to a
// position, the producer that claims the position may write; one more, its consumer may read.
#pragma once

#include <stddef.h>
#include <stdint.h>

#include <atomic>
#include <memory>
#include <new>
#include <utility>

namespace rss {

template <typename T, size_t kCapacity>
class BoundedQueue {
  static_assert((kCapacity & (kCapacity - 1)) == 0, "a power of two");

 public:
  BoundedQueue()
      : sequences_(new std::atomic<size_t>[kCapacity]), storage_(new Storage[kCapacity]) {
    for (size_t i = 0; i < kCapacity; ++i) sequences_[i].store(i, std::memory_order_relaxed);
  }
  BoundedQueue(const BoundedQueue&) = delete;
  BoundedQueue& operator=(const BoundedQueue&) = delete;
  ~BoundedQueue() {
    T last;
    while (Pop(&last)) {
    }
  }

  // False when the queue is full; the argument is then unchanged. The push and what the caller
  // loads next are sequentially consistent.
  bool Push(T&& value) {
    size_t at = tail_.load(std::memory_order_relaxed);
    for (;;) {
      size_t sequence = sequences_[at % kCapacity].load(std::memory_order_acquire);
      auto ahead = static_cast<ptrdiff_t>(sequence - at);
      if (ahead < 0) return false;
      if (ahead > 0)
        at = tail_.load(std::memory_order_relaxed);
      else if (tail_.compare_exchange_weak(at, at + 1, std::memory_order_relaxed))
        break;
    }
    new (storage_[at % kCapacity].bytes) T(std::move(value));
    sequences_[at % kCapacity].store(at + 1, std::memory_order_seq_cst);
    return true;
  }

  // False when the queue is empty, or when its first producer has not finished.
  bool Pop(T* value) {
    size_t at = head_.load(std::memory_order_relaxed);
    for (;;) {
      size_t sequence = sequences_[at % kCapacity].load(std::memory_order_seq_cst);
      auto ahead = static_cast<ptrdiff_t>(sequence - (at + 1));
      if (ahead < 0) return false;
      if (ahead > 0)
        at = head_.load(std::memory_order_relaxed);
      else if (head_.compare_exchange_weak(at, at + 1, std::memory_order_relaxed))
        break;
    }
    T* stored = std::launder(reinterpret_cast<T*>(storage_[at % kCapacity].bytes));
    *value = std::move(*stored);
    stored->~T();
    sequences_[at % kCapacity].store(at + kCapacity, std::memory_order_release);
    return true;
  }

  // Counts what is being pushed too. Approximate while others push and pop.
  size_t length() const {
    size_t head = head_.load(std::memory_order_relaxed);
    size_t tail = tail_.load(std::memory_order_relaxed);
    return tail > head ? tail - head : 0;
  }

 private:
  struct Storage {
    alignas(T) unsigned char bytes[sizeof(T)];
  };

  std::unique_ptr<std::atomic<size_t>[]> sequences_;
  std::unique_ptr<Storage[]> storage_;  // apart: its pages stay untouched until they are needed
  alignas(64) std::atomic<size_t> tail_{0};
  alignas(64) std::atomic<size_t> head_{0};
};

}  // namespace rss
