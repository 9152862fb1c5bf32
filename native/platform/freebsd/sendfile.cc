#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/types.h>
// sys/event.h needs sys/types.h first
#include <sys/event.h>
#include <sys/filio.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include "platform/platform.h"

namespace rss {
namespace {

// sendfile(2) raises the socket's low-water mark to half its buffer for good, below which neither
// kqueue(2) calls it writable nor send(2) takes what does not fit whole.
void RestoreLowWater(int socket) {
  int bytes = 2048;  // as a socket has it at first
  setsockopt(socket, SOL_SOCKET, SO_SNDLOWAT, &bytes, sizeof bytes);
}

}  // namespace

ssize_t SendFile(int socket, const iovec* headers, int count, const FileRange& range) {
  sf_hdtr header{const_cast<iovec*>(headers), count, nullptr, 0};
  size_t total = range.length;
  for (int i = 0; i < count; ++i) total += headers[i].iov_len;
  int flags = (range.no_disk_io ? SF_NODISKIO : 0) | (range.no_cache ? SF_NOCACHE : 0) |
              (range.sync ? SF_SYNC : 0) | (range.read_ahead > 0 ? SF_USER_READAHEAD : 0);
  off_t sent = 0;
  int result;
  do {
    result = sendfile(range.fd, socket, static_cast<off_t>(range.offset), range.length,
                      count > 0 ? &header : nullptr, &sent, SF_FLAGS(range.read_ahead, flags));
  } while (result != 0 && errno == EINTR && sent == 0);
  if (static_cast<size_t>(sent) == total) RestoreLowWater(socket);
  // `sent` is the truth, whatever was returned: a part comes with EAGAIN, with SF_SYNC also with 0.
  if (sent > 0) return sent;
  if (result == 0) return range.sync ? -EAGAIN : -EIO;
  return errno == ENOBUFS || errno == EWOULDBLOCK ? -EAGAIN : -errno;
}

bool HasSyncSend() {
  return true;
}

ssize_t Unacknowledged(int socket) {
  int bytes = 0;
  return ioctl(socket, FIONWRITE, &bytes) == 0 ? bytes : -errno;
}

bool IsPaced(int) {
  return false;
}

void HoldBack(int socket, bool hold) {
  int on = hold ? 1 : 0;
  setsockopt(socket, IPPROTO_TCP, TCP_NOPUSH, &on, sizeof on);
}

bool CountsAll(bool wired) {
  return wired;
}

EmptyProbe::EmptyProbe() : queue_(kqueue()) {}

bool EmptyProbe::Ask(int socket) {
  struct kevent change, event;
  EV_SET(&change, socket, EVFILT_EMPTY, EV_ADD | EV_DISPATCH, 0, 0, nullptr);
  timespec at_once{0, 0};
  int got = kevent(queue_.get(), &change, 1, &event, 1, &at_once);
  // It stays in the queue, disabled once it has fired, until its socket closes.
  return got == 1 && event.ident == static_cast<uintptr_t>(socket) && (event.flags & EV_ERROR) == 0;
}

}  // namespace rss
