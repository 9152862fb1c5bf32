#include <cmath>

#include "platform/freebsd/constants.h"
#include "platform/platform.h"

namespace rss {

Pipe Pipe::Open() {
  return Pipe();
}
ssize_t Pipe::Fill(int, size_t) {
  return -EINVAL;
}
ssize_t Pipe::Empty(int) {
  return -EINVAL;
}
ssize_t Pipe::Read(uint8_t*, size_t) {
  return -EINVAL;
}

bool CanJoinSockets() {
  static const bool can = [] {
    UniqueFd fd(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    off_t bytes = 0;
    socklen_t length = sizeof bytes;
    return fd && getsockopt(fd.get(), SOL_SOCKET, kSoSplice, &bytes, &length) == 0;
  }();
  return can;
}

bool JoinSockets(int from, int to, double most) {
  SpliceRequest request{};
  request.fd = to;
  request.most = std::isinf(most) ? 0 : static_cast<off_t>(most);  // 0: no limit
  return setsockopt(from, SOL_SOCKET, kSoSplice, &request, sizeof request) == 0;
}

void LeaveSockets(int from) {
  SpliceRequest request{};
  request.fd = -1;
  setsockopt(from, SOL_SOCKET, kSoSplice, &request, sizeof request);
}

double JoinedBytes(int from) {
  off_t bytes = 0;
  socklen_t length = sizeof bytes;
  getsockopt(from, SOL_SOCKET, kSoSplice, &bytes, &length);
  return static_cast<double>(bytes);
}

}  // namespace rss
