// socket(7): SO_RCVBUF and SO_SNDBUF. The kernel doubles what is asked for, for its own records,
// and silently grants no more than net.core.rmem_max and wmem_max.
#include "platform/platform.h"

namespace rss {
namespace {

int OptionOf(Buffer which) {
  return which == Buffer::kReceive ? SO_RCVBUF : SO_SNDBUF;
}

}  // namespace

int BufferSize(int fd, Buffer which) {
  int bytes = 0;
  socklen_t length = sizeof bytes;
  getsockopt(fd, SOL_SOCKET, OptionOf(which), &bytes, &length);
  return bytes / 2;
}

int SetBufferSize(int fd, Buffer which, int bytes) {
  setsockopt(fd, SOL_SOCKET, OptionOf(which), &bytes, sizeof bytes);
  return BufferSize(fd, which);
}

}  // namespace rss
