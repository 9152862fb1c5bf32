#include <linux/tcp.h>
#include <netinet/in.h>

#include "platform/platform.h"

namespace rss {

Result<ConnectionBytes> BytesOfConnection(int fd) {
  tcp_info info{};
  socklen_t length = sizeof info;
  if (getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &length) != 0)
    return LastError("getsockopt", "TCP_INFO");
  return ConnectionBytes{static_cast<double>(info.tcpi_bytes_received),
                         static_cast<double>(info.tcpi_bytes_acked)};
}

bool CountsBytesOfConnections() {
  return true;
}

}  // namespace rss
