// Determines when memory that workers send from can be reused: once every worker has ended the turn
// in which it may have found that memory.
#pragma once

#include <stddef.h>
#include <stdint.h>

#include <atomic>
#include <vector>

namespace rss {

// To give memory up, first make it unreachable, then take a ticket with Retire(). Turns that begin
// later cannot find the memory. Passed() is true once all turns that began earlier have ended.
class Epochs {
 public:
  explicit Epochs(size_t workers) : workers_(workers) {}

  void Enter(size_t worker) { workers_[worker].seen.store(now_.load()); }
  void Leave(size_t worker) { workers_[worker].seen.store(kIdle); }

  uint64_t Retire() { return now_.fetch_add(1) + 1; }
  bool Passed(uint64_t ticket) const {
    for (const Worker& worker : workers_)
      if (worker.seen.load() < ticket) return false;
    return true;
  }

 private:
  static constexpr uint64_t kIdle = UINT64_MAX;
  struct alignas(64) Worker {  // a cache line of its own: each is written every turn
    std::atomic<uint64_t> seen{kIdle};
  };

  std::atomic<uint64_t> now_{0};
  std::vector<Worker> workers_;
};

}  // namespace rss
