// socket(7): SO_MEMINFO, Linux 4.12. A listener counts the connection attempts that it refuses in
// the same place (tcp_listendrop()).
#include <linux/sock_diag.h>
#include <netinet/in.h>
#include <netinet/tcp.h>

#include "platform/platform.h"

#ifndef SO_MEMINFO
#define SO_MEMINFO 55
#endif

namespace rss {

Result<uint32_t> DroppedBySocket(int fd) {
  uint32_t memory[SK_MEMINFO_VARS] = {};
  socklen_t length = sizeof memory;
  if (getsockopt(fd, SOL_SOCKET, SO_MEMINFO, memory, &length) != 0)
    return LastError("getsockopt", "SO_MEMINFO");
  return memory[SK_MEMINFO_DROPS];
}

Result<HostDrops> DroppedByHost() {
  return Failure{-ENOTSUP, "getsockopt", nullptr, "Linux counts for each socket"};
}

Result<int> AcceptQueueLength(int fd) {
  tcp_info info{};
  socklen_t length = sizeof info;
  if (getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &length) != 0)
    return LastError("getsockopt", "TCP_INFO");
  return static_cast<int>(info.tcpi_unacked);  // of a listener: inet_diag's idiag_rqueue
}

}  // namespace rss
