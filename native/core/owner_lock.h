// A lock in shared memory that names its owner: one word, 0 or the owner's token, with a bit for
// sleepers.
//
// Held for a few hundred nanoseconds, so a short spin is nearly always enough; then the thread
// sleeps in the kernel. A thread can be terminated at any instruction, inside the lock too: the
// token names the owner, and Break() frees the lock once that owner is known to be dead.
#pragma once

#include <stdint.h>

#include <atomic>

namespace rss {

class OwnerLock {
 public:
  static constexpr uint32_t kContended = 1u << 29;
  static constexpr int kSpins = 200;
  static constexpr int kSleepMs = 50;
  static constexpr int kSleeps = 4;

  // futex(2), _umtx_op(2): sleeps while *address == expected; wakes `count` sleepers.
  using WaitCall = int (*)(uint32_t* address, uint32_t expected, int timeout_ms);
  using WakeCall = int (*)(uint32_t* address, int count);

  OwnerLock(uint32_t* word, WaitCall wait, WakeCall wake)
      : word_(reinterpret_cast<std::atomic<uint32_t>*>(word)), wait_(wait), wake_(wake) {}

  // `token`: below 2^29, not 0.
  void Acquire(uint32_t token) {
    while (!TryAcquire(token)) {
    }
  }

  // Waits at most kSleeps * kSleepMs, so that a thread that waits can still be terminated.
  bool TryAcquire(uint32_t token) {
    for (int i = 0; i < kSpins; ++i) {
      uint32_t free = 0;
      if (word_->load(std::memory_order_relaxed) == 0 &&
          word_->compare_exchange_weak(free, token, std::memory_order_acquire))
        return true;
    }
    // From here on the bit stays set: a thread that has slept cannot know whether others still
    // sleep.
    for (int sleeps = 0; sleeps < kSleeps; ++sleeps) {
      uint32_t seen = 0;
      if (word_->compare_exchange_strong(seen, token | kContended, std::memory_order_acquire))
        return true;
      uint32_t marked = seen | kContended;
      if (seen == marked || word_->compare_exchange_strong(seen, marked))
        wait_(reinterpret_cast<uint32_t*>(word_), marked, kSleepMs);
    }
    return false;
  }

  void Release() {
    uint32_t seen = word_->exchange(0, std::memory_order_release);
    if ((seen & kContended) != 0) wake_(reinterpret_cast<uint32_t*>(word_), 1);
  }

  bool IsHeldBy(uint32_t token) const { return (word_->load() & ~kContended) == token; }

  // Frees a dead owner's lock.
  void Break() {
    word_->store(0);
    wake_(reinterpret_cast<uint32_t*>(word_), INT32_MAX);
  }

 private:
  std::atomic<uint32_t>* word_;
  WaitCall wait_;
  WakeCall wake_;
};

static_assert(sizeof(std::atomic<uint32_t>) == 4 && std::atomic<uint32_t>::is_always_lock_free,
              "the word is shared with JavaScript's Atomics");

}  // namespace rss
