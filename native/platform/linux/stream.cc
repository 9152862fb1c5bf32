#include <sys/syscall.h>
#include <unistd.h>

#include "platform/platform.h"

namespace rss {

ssize_t ReceiveNow(int fd, void* buffer, size_t size) {
  return syscall(SYS_recvfrom, fd, buffer, size, MSG_DONTWAIT, nullptr, nullptr);
}

ssize_t SendNow(int fd, const void* bytes, size_t size) {
  return syscall(SYS_sendto, fd, bytes, size, MSG_DONTWAIT | MSG_NOSIGNAL, nullptr, 0);
}

}  // namespace rss
