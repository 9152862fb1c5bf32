// Counts and limits the accepted connections of a server, over all its workers.
#pragma once

#include <atomic>
#include <utility>

namespace rss {

class ConnectionLimit;

// One connection's place under the limit, for as long as the connection lives.
class Place {
 public:
  Place() = default;
  Place(Place&& other) noexcept : limit_(std::exchange(other.limit_, nullptr)) {}
  Place& operator=(Place&& other) noexcept {
    std::swap(limit_, other.limit_);
    return *this;
  }
  inline ~Place();

  explicit operator bool() const { return limit_ != nullptr; }

 private:
  friend class ConnectionLimit;
  explicit Place(ConnectionLimit* limit) : limit_(limit) {}

  ConnectionLimit* limit_ = nullptr;
};

class ConnectionLimit {
 public:
  // 0: no limit.
  explicit ConnectionLimit(int most) : most_(most) {}

  // Returns an empty place when all are taken.
  Place Take() {
    if (taken_.fetch_add(1, std::memory_order_relaxed) < most_ || most_ == 0) return Place(this);
    taken_.fetch_sub(1, std::memory_order_relaxed);
    return Place();
  }
  // For a connection that exists already. Ignores the limit.
  Place Force() {
    taken_.fetch_add(1, std::memory_order_relaxed);
    return Place(this);
  }

 private:
  friend class Place;
  const int most_;
  std::atomic<int> taken_{0};
};

inline Place::~Place() {
  if (limit_ != nullptr) limit_->taken_.fetch_sub(1, std::memory_order_relaxed);
}

}  // namespace rss
