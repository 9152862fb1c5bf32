#include "engine/send_source.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <utility>

#include "platform/posix/stream.h"

namespace rss {

Status SendSource::OpenFile(int fd, bool in_background) {
  file.reset(fcntl(fd, F_DUPFD_CLOEXEC, 0));
  if (!file) return LastError("dup");
  background = in_background;
  if (!background) return Nothing{};
  struct stat status;
  if (fstat(file.get(), &status) != 0) return LastError("fstat");
  if (!S_ISREG(status.st_mode)) return MakeFailure(EINVAL, "sendfile", "it is no regular file");
  how.no_disk_io = CanAvoidDiskIo(file.get());
  return Nothing{};
}

ssize_t SendSource::Send(int socket, iovec* parts, int count, uint64_t offset, size_t length,
                         bool share, bool report_ack, bool* shared) {
  if (segment != nullptr && segment->large_pages() && CanRenewPages()) share = false;
  if (segment == nullptr || (share && !refused_)) {
    if (background && !how.no_disk_io) {
      // Only once: when the socket has room again, the file may have left memory.
      length = std::min(length, std::exchange(read_in, 0));
      if (length == 0) return -EBUSY;
    }
    FileRange range = Range(offset, length);
    range.report_ack = report_ack;
    ssize_t sent = SendFile(socket, parts, count, range);
    *shared = sent > 0;
    refused_ = segment != nullptr && (sent == -EINVAL || sent == -ENOSYS || sent == -EOPNOTSUPP);
    if (!refused_) return sent;
  }
  *shared = false;
  parts[count] = {segment->data() + offset, length};
  return SendStream(socket, parts, count + 1, report_ack);
}

ssize_t SendSource::Read(uint8_t* to, uint64_t offset, size_t length) {
  FileRange range = Range(offset, length);
  if (background) {
    range.length = std::min(length, read_in);
    read_in -= range.length;
    if (range.length == 0 && how.no_disk_io) range.length = BytesInMemory(Range(offset, length));
    if (range.length == 0) return -EBUSY;
  }
  ssize_t got = pread(range.fd, to, range.length, static_cast<off_t>(range.offset));
  if (got < 0) return -errno;
  return got == 0 ? -EIO : got;
}

}  // namespace rss
