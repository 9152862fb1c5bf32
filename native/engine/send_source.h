// What output can be sent from without being copied: a shared memory segment, or a file.
#pragma once

#include <memory>

#include "platform/posix/shm.h"

namespace rss {

struct SendSource {
  std::shared_ptr<Segment> segment;  // or
  UniqueFd file;
  uint64_t base = 0;     // rows of a file count from here
  FileRange how;         // its flags
  bool refused = false;  // sendfile(2) does not take it: a segment is copied from then on

  size_t size() const { return segment != nullptr ? segment->size() : UINT32_MAX; }
  FileRange Range(uint64_t offset, size_t length) const {
    FileRange range = how;
    range.fd = segment != nullptr ? segment->fd() : file.get();
    range.offset = base + offset;
    range.length = length;
    return range;
  }
};

}  // namespace rss
