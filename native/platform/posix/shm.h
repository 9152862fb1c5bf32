// Mappings of shared memory segments, shared by all threads of the process.
#pragma once

#include <atomic>
#include <memory>
#include <mutex>
#include <string>

#include "platform/platform.h"

namespace rss {

struct SegmentOptions {
  size_t size = 0;
  size_t max_size = 0;  // limit of growth; at least `size`
  std::string name;     // of shm_open(2); anonymous without
  int mode = 0600;      // of a name
  bool lock = false;    // mlock(2)
  bool large_pages = false;
};

// kReserved: pages of kLargePage bytes, all of them from the beginning. kTransparent: the kernel
// uses large pages as far as it can.
enum class LargePages { kNone, kTransparent, kReserved };

// A mapped shared memory object. Its last user unmaps and closes it; the kernel keeps pages that
// are still referenced elsewhere. `lock` and `large_pages` are dropped where the system refuses
// them.
class Segment {
 public:
  static Result<std::shared_ptr<Segment>> Create(const SegmentOptions& options);
  // Opens an existing named object. The size comes from the object.
  static Result<std::shared_ptr<Segment>> OpenNamed(const SegmentOptions& options);
  // Maps the object of a descriptor that comes from another process.
  static Result<std::shared_ptr<Segment>> Adopt(UniqueFd fd, SegmentOptions options);
  static Status Unlink(const std::string& name);
  // The segment of this process with that id, or null.
  static std::shared_ptr<Segment> Find(uint32_t id);

  Segment(UniqueFd fd, uint8_t* data, const SegmentOptions& options, LargePages large_pages);
  ~Segment();
  Segment(const Segment&) = delete;
  Segment& operator=(const Segment&) = delete;

  uint32_t id() const { return id_; }
  int fd() const { return fd_.get(); }
  // Constant while the segment lives.
  uint8_t* data() const { return data_; }
  size_t size() const { return size_.load(std::memory_order_acquire); }
  size_t max_size() const { return max_size_; }
  bool locked() const { return locked_; }
  bool large_pages() const { return large_pages_ != LargePages::kNone; }

  // Grows it to at least `size` bytes. ENOMEM beyond max_size, EPERM once it is sealed.
  Status Grow(size_t size);
  Status Seal();
  // Keeps it in memory from now on: mlock(2). False: the system refuses. Thread-safe.
  bool Lock();
  // Faults its pages in, so that the first use of its memory does not wait. Thread-safe.
  void Prefault();

 private:
  Status MapUpTo(size_t size);

  UniqueFd fd_;
  uint8_t* data_;
  std::atomic<size_t> size_{0};
  size_t max_size_;
  bool named_;
  std::atomic<bool> locked_;
  LargePages large_pages_;
  std::mutex growing_;
  uint32_t id_;
};

}  // namespace rss
