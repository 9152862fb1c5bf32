// Accepts connections, and tells what a descriptor is.
#pragma once

#include "platform/platform.h"

namespace rss {

struct SocketKind {
  Transport transport = Transport::kTcp;
  int family = 0;
  bool listening = false;
  SocketAddress address;  // as getsockname(2) has it
};

// EBADF, ENOTSOCK, or EPROTOTYPE for a socket that is neither TCP, nor UDP, nor a Unix stream
// socket, whose family is AF_UNIX and transport kTcp.
Result<SocketKind> InspectSocket(int fd);
// EPROTOTYPE for a Unix socket too.
Result<SocketKind> InspectIpSocket(int fd);

// Takes over a descriptor that the process was started with, and keeps it from children of its own.
// EBADF when there is none.
Result<UniqueFd> AdoptDescriptor(int fd);

// accept4(2) with both addresses, non-blocking and close-on-exec.
// Returns 0 or -errno; the flow is left to the caller.
int AcceptConnection(int listener, Connection* out);

// The flow of a connected socket: as the kernel hashed it, else in software. A UDP socket's kernel
// options describe no peer (FreeBSD: hash type 63, a counter), so UDP is always hashed here.
Result<Flow> ConnectedFlow(int fd, const FlowClassifier& classifier);

// True when `fd` is the connection between these two addresses. A number may have been closed and
// reused by another thread; the addresses of a live connection are unique. False for Unix sockets.
bool IsConnection(int fd, const SocketAddress& peer, const SocketAddress& local);

}  // namespace rss
