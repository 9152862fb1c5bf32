// Sockets of single flows: __udp4_lib_lookup(), udp_lib_get_port().
#include "platform/platform.h"

namespace rss {
namespace {

Status SetReuseAddress(int fd, int on) {
  if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) != 0)
    return LastError("setsockopt", "SO_REUSEADDR");
  return Nothing{};
}

}  // namespace

Status AllowFlowSockets(int) {
  return Nothing{};
}

// Any process, of any user, may bind the port of sockets that all have SO_REUSEADDR. So the bound
// socket has it only within this call.
Status BindBeside(int fd, int bound, const SocketAddress& local) {
  Status status = SetReuseAddress(fd, 1);
  if (status.ok()) status = SetReuseAddress(bound, 1);
  if (!status.ok()) return status;
  if (bind(fd, &local.sa, local.length()) != 0) status = LastError("bind");
  (void)SetReuseAddress(bound, 0);
  return status;
}

bool TakesAllUntilConnected() {
  return true;
}

// Without a peer the socket would take the datagrams of all peers. Nothing else sends from its own
// address.
void LeaveFlow(int fd) {
  SocketAddress own;
  socklen_t length = sizeof own.v6;
  if (getsockname(fd, &own.sa, &length) == 0) (void)!connect(fd, &own.sa, length);
}

}  // namespace rss
