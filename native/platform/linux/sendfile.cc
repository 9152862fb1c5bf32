#include <linux/fs.h>
#include <linux/sockios.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/sendfile.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>

#include "platform/linux/report_acks.h"
#include "platform/platform.h"

namespace rss {
namespace {

// The kernel sends, and reports, 16 pages of a range at once.
constexpr size_t kMostReported = 64 * 1024;
constexpr size_t kReportedPart = 32 * 1024;

bool HasSentEnd(int socket) {
  tcp_info info{};
  socklen_t length = sizeof info;
  return getsockopt(socket, IPPROTO_TCP, TCP_INFO, &info, &length) == 0 &&
         info.tcpi_state != TCP_ESTABLISHED && info.tcpi_state != TCP_CLOSE_WAIT;
}

ssize_t SendPart(int socket, const FileRange& range, size_t skip, size_t length) {
  ssize_t sent;
  do {
    auto at = static_cast<off_t>(range.offset + skip);
    sent = sendfile(socket, range.fd, &at, length);
  } while (sent < 0 && errno == EINTR);
  return sent;
}

// sendfile(2) takes no control messages, so all that the socket sends is reported meanwhile.
ssize_t SendReported(int socket, const FileRange& range) {
  size_t before = range.length > kMostReported ? range.length - kReportedPart : 0;
  ssize_t first = before > 0 ? SendPart(socket, range, 0, before) : 0;
  if (first < static_cast<ssize_t>(before)) return first;
  ReportAcks(socket, true);
  ssize_t last = SendPart(socket, range, before, range.length - before);
  int error = errno;
  ReportAcks(socket, false);
  errno = error;
  return last < 0 && before > 0 ? first : first + last;
}

// BytesInMemory() looks no further.
constexpr size_t kMostAsked = 256 * 1024;
constexpr size_t kPage = 4096;  // the smallest

// Reads one byte if it is in memory. Returns as preadv2(2), which musl has only from 1.2.5 on.
ssize_t ReadByteNow(int file, uint64_t at) {
  uint8_t byte;
  iovec part{&byte, 1};
  long got = syscall(SYS_preadv2, file, &part, 1L, static_cast<unsigned long>(at),
                     static_cast<unsigned long>(at >> 32), RWF_NOWAIT);
  return got < 0 ? -errno : got;
}

}  // namespace

bool CanAvoidDiskIo(int file) {
  return ReadByteNow(file, 0) != -EOPNOTSUPP;
}

// mincore(2) and cachestat(2) say nothing about files of other users.
size_t BytesInMemory(const FileRange& range) {
  size_t most = std::min(range.length, kMostAsked);
  for (size_t ready = 0; ready < most;) {
    uint64_t at = range.offset + ready;
    ssize_t got = ReadByteNow(range.fd, at);
    if (got < 0 && got != -EOPNOTSUPP) return ready;
    ready += kPage - at % kPage;
  }
  return most;
}

ssize_t SendFile(int socket, const iovec* headers, int count, const FileRange& range) {
  size_t length = range.no_disk_io ? BytesInMemory(range) : range.length;
  if (length == 0) return -EBUSY;
  ssize_t head = 0;
  if (count > 0) {
    msghdr message{};
    message.msg_iov = const_cast<iovec*>(headers);
    message.msg_iovlen = static_cast<size_t>(count);
    size_t total = 0;
    for (int i = 0; i < count; ++i) total += headers[i].iov_len;
    do {
      head = sendmsg(socket, &message, MSG_DONTWAIT | MSG_NOSIGNAL | MSG_MORE);
    } while (head < 0 && errno == EINTR);
    if (head < 0) return -errno;
    if (static_cast<size_t>(head) < total) return head;
  }
  FileRange part = range;
  part.length = length;
  ssize_t sent = range.report_ack ? SendReported(socket, part) : SendPart(socket, part, 0, length);
  if (sent > 0) return head + sent;
  // With the headers sent, the next call reports the error.
  if (head > 0) return head;
  return sent == 0 ? -EIO : -errno;
}

bool HasSyncSend() {
  return false;
}

// SIOCOUTQ counts the end of the stream as a byte. Once the socket is shut down, all data may be
// acknowledged while one "byte" is left.
ssize_t Unacknowledged(int socket) {
  int bytes = 0;
  if (ioctl(socket, SIOCOUTQ, &bytes) != 0) return -errno;
  return bytes == 1 && HasSentEnd(socket) ? 0 : bytes;
}

bool IsPaced(int socket) {
  char name[16] = "";  // TCP_CA_NAME_MAX
  socklen_t length = sizeof name;
  return getsockopt(socket, IPPROTO_TCP, TCP_CONGESTION, name, &length) == 0 &&
         strncmp(name, "bbr", 3) == 0;
}

void HoldBack(int socket, bool hold) {
  int on = hold ? 1 : 0;
  setsockopt(socket, IPPROTO_TCP, TCP_CORK, &on, sizeof on);
}

EmptyProbe::EmptyProbe() = default;

bool EmptyProbe::Ask(int socket) {
  return Unacknowledged(socket) == 0;
}

ssize_t EmptyProbe::Rest(int socket) {
  return Unacknowledged(socket);
}

}  // namespace rss
