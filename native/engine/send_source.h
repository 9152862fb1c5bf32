// A shared memory segment or a file that output is sent from without a copy.
#pragma once

#include <memory>

#include "platform/posix/shm.h"

namespace rss {

struct SendSource {
  std::shared_ptr<Segment> segment;  // null for a file
  UniqueFd file;
  uint64_t base = 0;  // added to the offsets of rows
  FileRange how;      // flags of sendfile(2)
  // Send() and Read() return -EBUSY instead of waiting for the disk. A FileReader then reads, and
  // says in `read_in` how many of the next bytes are in memory.
  bool background = false;
  size_t read_in = 0;

  // Duplicates the descriptor. `in_background`: EINVAL unless it is a regular file.
  Status OpenFile(int fd, bool in_background);

  size_t size() const { return segment != nullptr ? segment->size() : UINT32_MAX; }
  FileRange Range(uint64_t offset, size_t length) const {
    FileRange range = how;
    range.fd = segment != nullptr ? segment->fd() : file.get();
    range.offset = base + offset;
    range.length = length;
    return range;
  }

  // Sends `parts`, which must have room for one more, then a range. Files are sent by sendfile(2).
  // Segments are too, with `share`, unless they have large pages on Linux: sendfile(2) does not
  // read those of hugetlbfs, and no part of one can be renewed. Otherwise they are copied from
  // their mapping. Returns the bytes taken, or -errno. `report_ack`: see AckQueue. `*shared`:
  // whether sendfile(2) was used.
  ssize_t Send(int socket, iovec* parts, int count, uint64_t offset, size_t length, bool share,
               bool report_ack, bool* shared);
  // Reads a part of a file. Returns the bytes read, or -errno: -EIO at the file's end.
  ssize_t Read(uint8_t* to, uint64_t offset, size_t length);

 private:
  bool refused_ = false;  // sendfile(2) does not take the segment
};

}  // namespace rss
