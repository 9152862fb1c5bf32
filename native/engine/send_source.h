// What output can be sent from without being copied: a shared memory segment, or a file.
#pragma once

#include <memory>

#include "platform/posix/shm.h"

namespace rss {

struct SendSource {
  std::shared_ptr<Segment> segment;  // or
  UniqueFd file;
  uint64_t base = 0;  // rows of a file count from here
  FileRange how;      // its flags

  size_t size() const { return segment != nullptr ? segment->size() : UINT32_MAX; }
  FileRange Range(uint64_t offset, size_t length) const {
    FileRange range = how;
    range.fd = segment != nullptr ? segment->fd() : file.get();
    range.offset = base + offset;
    range.length = length;
    return range;
  }

  // Hands `parts`, which has room for one more, then a range to a socket: by sendfile(2), or copied
  // from the mapping, if a segment is not to be shared, or sendfile(2) does not take it (large
  // pages on Linux). Bytes taken, or -errno; `*shared` tells whether they went by sendfile(2).
  ssize_t Send(int socket, iovec* parts, int count, uint64_t offset, size_t length, bool share,
               bool* shared);

 private:
  bool refused_ = false;
};

}  // namespace rss
