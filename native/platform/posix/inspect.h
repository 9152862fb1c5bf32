// What a descriptor is.
#pragma once

#include "platform/platform.h"

namespace rss {

struct SocketKind {
  Transport transport = Transport::kTcp;
  int family = 0;
  bool listening = false;
  SocketAddress address;  // as getsockname(2) has it
};

// EBADF, ENOTSOCK; EPROTOTYPE for a socket that is neither TCP, nor UDP, nor a Unix stream socket.
// The latter has family AF_UNIX and transport kTcp.
Result<SocketKind> InspectSocket(int fd);
// EPROTOTYPE for a Unix socket too.
Result<SocketKind> InspectIpSocket(int fd);

// Takes ownership of a descriptor that this process has inherited. Its children do not inherit it.
// EBADF when there is none.
Result<UniqueFd> AdoptDescriptor(int fd);

// The flow of a connected socket, as the kernel has hashed it, or by a software hash. UDP is always
// hashed here, because the options of a UDP socket describe no peer (FreeBSD: hash type 63, a
// counter).
Result<Flow> ConnectedFlow(int fd, const FlowClassifier& classifier);

// True when `fd` is the connection between these two addresses. Another thread may have closed and
// reused the number, but the addresses of a live connection are unique. False for Unix sockets.
bool IsConnection(int fd, const SocketAddress& peer, const SocketAddress& local);

}  // namespace rss
