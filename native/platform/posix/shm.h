// Mappings of shared memory segments, counted over all isolates of the process.
#pragma once

#include <memory>

#include "platform/platform.h"

namespace rss {

// A mapped shared memory object. Unmapped and closed with its last user; the kernel keeps pages
// that are still referenced elsewhere.
class Segment {
 public:
  static Result<std::shared_ptr<Segment>> Create(size_t size);
  // The segment of this process with that id, or null.
  static std::shared_ptr<Segment> Find(uint32_t id);

  Segment(UniqueFd fd, uint8_t* data, size_t size);
  ~Segment();
  Segment(const Segment&) = delete;
  Segment& operator=(const Segment&) = delete;

  uint32_t id() const { return id_; }
  uint8_t* data() const { return data_; }
  size_t size() const { return size_; }

 private:
  UniqueFd fd_;
  uint8_t* data_;
  size_t size_;
  uint32_t id_;
};

}  // namespace rss
