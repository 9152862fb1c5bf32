// SO_RCVBUF and SO_SNDBUF: more than kern.ipc.maxsockbuf * 2048 / 2304 is ENOBUFS (sbreserve(9)),
// and so is more than RLIMIT_SBSIZE.
#include "platform/platform.h"

namespace rss {
namespace {

int OptionOf(Buffer which) {
  return which == Buffer::kReceive ? SO_RCVBUF : SO_SNDBUF;
}

bool Try(int fd, Buffer which, int bytes) {
  return setsockopt(fd, SOL_SOCKET, OptionOf(which), &bytes, sizeof bytes) == 0;
}

}  // namespace

int BufferSize(int fd, Buffer which) {
  int bytes = 0;
  socklen_t length = sizeof bytes;
  getsockopt(fd, SOL_SOCKET, OptionOf(which), &bytes, &length);
  return bytes;
}

// Tries sizes between the two limits: the sizes of mbufs are the kernel configuration's.
int SetBufferSize(int fd, Buffer which, int bytes) {
  if (!Try(fd, which, bytes)) {
    int granted = 0, refused = bytes;
    while (refused - granted > 1) {
      int middle = granted + (refused - granted) / 2;
      (Try(fd, which, middle) ? granted : refused) = middle;
    }
  }
  return BufferSize(fd, which);
}

}  // namespace rss
