// What output can be sent from without a copy: a shared memory segment or a file.
#pragma once

#include <memory>

#include "platform/posix/shm.h"

namespace rss {

struct SendSource {
  std::shared_ptr<Segment> segment;  // or
  UniqueFd file;
  uint64_t base = 0;  // added to the offsets of rows
  FileRange how;      // its flags

  size_t size() const { return segment != nullptr ? segment->size() : UINT32_MAX; }
  FileRange Range(uint64_t offset, size_t length) const {
    FileRange range = how;
    range.fd = segment != nullptr ? segment->fd() : file.get();
    range.offset = base + offset;
    range.length = length;
    return range;
  }

  // Sends `parts`, which has room for one more, then a range: by sendfile(2), or copied from the
  // mapping of a segment that is not shared or that sendfile(2) does not take (large pages on
  // Linux). Returns the bytes taken, or -errno; `*shared` is whether sendfile(2) was used.
  ssize_t Send(int socket, iovec* parts, int count, uint64_t offset, size_t length, bool share,
               bool* shared);

 private:
  bool refused_ = false;
};

}  // namespace rss
