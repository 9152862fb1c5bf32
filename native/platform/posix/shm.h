// Mappings of shared memory segments, counted over all isolates of the process.
#pragma once

#include <atomic>
#include <memory>
#include <mutex>
#include <string>

#include "platform/platform.h"

namespace rss {

struct SegmentOptions {
  size_t size = 0;
  size_t max_size = 0;  // as far as it may grow; at least `size`
  std::string name;     // of shm_open(2); anonymous without
  int mode = 0600;      // of a name
  bool lock = false;    // mlock(2)
  bool large_pages = false;
};

// A mapped shared memory object. Unmapped and closed with its last user; the kernel keeps pages
// that are still referenced elsewhere. What cannot be had of `lock` and `large_pages` is left out.
class Segment {
 public:
  static Result<std::shared_ptr<Segment>> Create(const SegmentOptions& options);
  // A named object that exists; its size is what it has.
  static Result<std::shared_ptr<Segment>> OpenNamed(SegmentOptions options);
  // An object of another process, whose descriptor this one has been given.
  static Result<std::shared_ptr<Segment>> Adopt(UniqueFd fd, SegmentOptions options);
  static Status Unlink(const std::string& name);
  // The segment of this process with that id, or null.
  static std::shared_ptr<Segment> Find(uint32_t id);

  Segment(UniqueFd fd, uint8_t* data, const SegmentOptions& options);
  ~Segment();
  Segment(const Segment&) = delete;
  Segment& operator=(const Segment&) = delete;

  uint32_t id() const { return id_; }
  int fd() const { return fd_.get(); }
  // For as long as the segment lives.
  uint8_t* data() const { return data_; }
  size_t size() const { return size_.load(std::memory_order_acquire); }
  size_t max_size() const { return max_size_; }
  bool locked() const { return locked_; }
  bool large_pages() const { return large_pages_; }

  // Makes it `size` bytes at least. ENOMEM beyond max_size, EPERM once it is sealed.
  Status Grow(size_t size);
  Status Seal();
  // Gives it pages, so that the first use of its memory waits for nothing. Any thread.
  void Prefault();

 private:
  Status MapUpTo(size_t size);

  UniqueFd fd_;
  uint8_t* data_;
  std::atomic<size_t> size_{0};
  size_t max_size_;
  bool named_;
  std::atomic<bool> locked_;
  bool large_pages_;
  std::mutex growing_;
  uint32_t id_;
};

}  // namespace rss
