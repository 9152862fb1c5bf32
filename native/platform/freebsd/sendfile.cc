#include <limits.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/types.h>
// sys/event.h needs sys/types.h first
#include <sys/event.h>
#include <sys/filio.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysctl.h>

#include "platform/freebsd/constants.h"
#include "platform/platform.h"

namespace rss {
namespace {

// sendfile(2) raises the socket's low-water mark to half its buffer for good. With less room than
// that, kqueue(2) does not report it writable, and send(2) takes only what fits as a whole.
void RestoreLowWater(int socket) {
  int bytes = 2048;  // a new socket's
  setsockopt(socket, SOL_SOCKET, SO_SNDLOWAT, &bytes, sizeof bytes);
}

bool EndsBefore(const FileRange& range) {
  struct stat file;
  return fstat(range.fd, &file) != 0 || static_cast<uint64_t>(file.st_size) <= range.offset;
}

}  // namespace

ssize_t SendFile(int socket, const iovec* headers, int count, const FileRange& range) {
  sf_hdtr header{const_cast<iovec*>(headers), count, nullptr, 0};
  size_t total = range.length;
  for (int i = 0; i < count; ++i) total += headers[i].iov_len;
  int flags = (range.no_disk_io ? SF_NODISKIO : 0) | (range.no_cache ? SF_NOCACHE : 0) |
              (range.sync ? kSfSync : 0) | (range.read_ahead > 0 ? SF_USER_READAHEAD : 0);
  off_t sent = 0;
  int result;
  do {
    result = sendfile(range.fd, socket, static_cast<off_t>(range.offset), range.length,
                      count > 0 ? &header : nullptr, &sent, SF_FLAGS(range.read_ahead, flags));
  } while (result != 0 && errno == EINTR && sent == 0);
  if (static_cast<size_t>(sent) == total) RestoreLowWater(socket);
  // Only `sent` is reliable: a partial send may return EAGAIN or, with SF_SYNC, 0. Nothing sent and
  // 0 returned means the file's end, or that SF_SYNC found no room.
  if (sent > 0) return sent;
  if (result == 0) return range.sync && !EndsBefore(range) ? -EAGAIN : -EIO;
  return errno == ENOBUFS || errno == EWOULDBLOCK ? -EAGAIN : -errno;
}

// Only UFS has a VOP_GETPAGES_ASYNC of its own (12.1 to 15.0); the pager waits for others.
bool CanAvoidDiskIo(int file) {
  struct statfs system;
  return fstatfs(file, &system) == 0 && strcmp(system.f_fstypename, "ufs") == 0;
}

size_t BytesInMemory(const FileRange&) {
  return 0;
}

// sendfile(2) ignores flags that it does not know, so only the release tells.
bool HasSyncSend() {
  static const bool has = [] {
    int release = 0;
    size_t size = sizeof release;
    return sysctlbyname("kern.osreldate", &release, &size, nullptr, 0) == 0 && release < 1600000;
  }();
  return has;
}

// FIONWRITE leaves out what is still being read from swap or disk (sbavail()); FIONSPACE does not
// (sbspace()). The space is smaller when mbufs are short, 0 when the buffer is overfull, and the
// buffer may grow in between. So the result may be too large, but never too small.
ssize_t Unacknowledged(int socket) {
  int space = 0, size = 0;
  socklen_t length = sizeof size;
  if (ioctl(socket, FIONSPACE, &space) != 0 ||
      getsockopt(socket, SOL_SOCKET, SO_SNDBUF, &size, &length) != 0)
    return -errno;
  if (space <= 0) return INT_MAX;
  return size > space ? size - space : 0;
}

bool IsPaced(int) {
  return false;
}

void HoldBack(int socket, bool hold) {
  int on = hold ? 1 : 0;
  setsockopt(socket, IPPROTO_TCP, TCP_NOPUSH, &on, sizeof on);
}

EmptyProbe::EmptyProbe() : queue_(kqueue()) {}

bool EmptyProbe::Ask(int socket) {
  struct kevent change, event;
  // Only EV_ENABLE checks a socket again whose event was delivered.
  EV_SET(&change, socket, EVFILT_EMPTY, EV_ADD | EV_ENABLE | EV_DISPATCH, 0, 0, nullptr);
  timespec at_once{0, 0};
  if (kevent(queue_.get(), &change, 1, &event, 1, &at_once) == 1)
    return (event.flags & EV_ERROR) == 0;
  // If it stayed enabled, it would fire in a later call, about another socket.
  change.flags = EV_DISABLE;
  kevent(queue_.get(), &change, 1, nullptr, 0, &at_once);
  return false;
}

ssize_t EmptyProbe::Rest(int socket) {
  return Ask(socket) ? 0 : Unacknowledged(socket);
}

}  // namespace rss
