#include "platform/platform.h"

namespace rss {

ssize_t ReceiveNow(int fd, void* buffer, size_t size) {
  return recv(fd, buffer, size, MSG_DONTWAIT);
}

ssize_t SendNow(int fd, const void* bytes, size_t size) {
  return send(fd, bytes, size, MSG_DONTWAIT | MSG_NOSIGNAL);
}

}  // namespace rss
