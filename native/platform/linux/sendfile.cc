#include <linux/sockios.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/sendfile.h>

#include "platform/platform.h"

namespace rss {

ssize_t SendFile(int socket, const iovec* headers, int count, const FileRange& range) {
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
  ssize_t sent;
  do {
    auto at = static_cast<off_t>(range.offset);
    sent = sendfile(socket, range.fd, &at, range.length);
  } while (sent < 0 && errno == EINTR);
  if (sent > 0) return head + sent;
  // With the headers sent, the next call reports the error.
  if (head > 0) return head;
  return sent == 0 ? -EIO : -errno;
}

bool HasSyncSend() {
  return false;
}

ssize_t Unacknowledged(int socket) {
  int bytes = 0;
  return ioctl(socket, SIOCOUTQ, &bytes) == 0 ? bytes : -errno;
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
