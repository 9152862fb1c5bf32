// Sockets of single flows: in_pcblookup_hash_smr(), which looks for an exact match, then for a
// load-balancing group, then for other bound sockets.
#include "platform/platform.h"

namespace rss {

// A socket that is no member of the group may share its port only if the members have SO_REUSEPORT
// besides SO_REUSEPORT_LB.
Status AllowFlowSockets(int fd) {
  return SetOption(fd, SocketOption::kReusePort, 1);
}

Status BindBeside(int fd, int, const SocketAddress& local) {
  Status status = SetOption(fd, SocketOption::kReusePort, 1);
  if (status.ok() && bind(fd, &local.sa, local.length()) != 0) status = LastError("bind");
  return status;
}

bool TakesAllUntilConnected() {
  return false;
}

// soconnectat() disconnects the socket before it looks at the address. The group is preferred to a
// socket that is bound and not connected.
void LeaveFlow(int fd) {
  sockaddr none{};
  none.sa_family = AF_UNSPEC;
  none.sa_len = sizeof none;
  (void)!connect(fd, &none, sizeof none);
}

}  // namespace rss
