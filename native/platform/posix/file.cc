#include <fcntl.h>
#include <unistd.h>

#include "platform/platform.h"

namespace rss {

// A byte of each page is enough, and needs no buffer.
int ReadIntoMemory(const FileRange& range) {
  constexpr size_t kPage = 4096;
  auto from = static_cast<off_t>(range.offset);
  auto length = static_cast<off_t>(range.length);
  // Advice: FreeBSD ignores it.
  posix_fadvise(range.fd, from, 2 * length, POSIX_FADV_WILLNEED);
  for (off_t at = from; at < from + length;) {
    uint8_t byte;
    ssize_t got = pread(range.fd, &byte, 1, at);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return -errno;
    if (got == 0) return 0;
    at += static_cast<off_t>(kPage - static_cast<size_t>(at) % kPage);
  }
  return 0;
}

}  // namespace rss
