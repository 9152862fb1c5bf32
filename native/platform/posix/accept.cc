#include "platform/posix/accept.h"

#include <errno.h>

namespace rss {

int AcceptConnection(int listener, Connection* out) {
  socklen_t length = sizeof out->peer.v6;
  int fd;
  do {
    fd = accept4(listener, &out->peer.sa, &length, SOCK_NONBLOCK | SOCK_CLOEXEC);
    // ECONNABORTED: the peer has reset a queued connection. The listener still works.
  } while (fd < 0 && (errno == EINTR || errno == ECONNABORTED));
  if (fd < 0) return -errno;
  out->fd.reset(fd);
  length = sizeof out->local.v6;
  if (getsockname(fd, &out->local.sa, &length) != 0) out->local = SocketAddress();
  return 0;
}

}  // namespace rss
