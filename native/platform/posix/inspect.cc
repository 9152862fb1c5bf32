#include "platform/posix/inspect.h"

#include <fcntl.h>

#include <sys/types.h>

namespace rss {

Result<SocketKind> InspectSocket(int fd) {
  SocketKind kind;
  int type = 0, listening = 0;
  socklen_t length = sizeof type;
  if (getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &length) != 0)
    return LastError("getsockopt", "SO_TYPE");
  length = sizeof kind.address.v6;
  if (getsockname(fd, &kind.address.sa, &length) != 0) return LastError("getsockname");
  kind.family = kind.address.family();
  bool local = kind.family == AF_UNIX && type == SOCK_STREAM;
  if (!local && kind.family != AF_INET && kind.family != AF_INET6)
    return MakeFailure(EPROTOTYPE, "getsockname", "not an IPv4 or IPv6 socket");
  if (type != SOCK_STREAM && type != SOCK_DGRAM)
    return MakeFailure(EPROTOTYPE, "getsockopt", "neither a TCP nor a UDP socket");
  kind.transport = type == SOCK_STREAM ? Transport::kTcp : Transport::kUdp;
  length = sizeof listening;
  // Fails with ENOPROTOOPT or EINVAL for datagram sockets on FreeBSD. They do not listen.
  if (getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listening, &length) == 0)
    kind.listening = listening != 0;
  return kind;
}

Result<SocketKind> InspectIpSocket(int fd) {
  auto kind = InspectSocket(fd);
  if (kind.ok() && kind.value.family == AF_UNIX)
    return MakeFailure(EPROTOTYPE, "getsockname", "not an IPv4 or IPv6 socket");
  return kind;
}

Result<UniqueFd> AdoptDescriptor(int fd) {
  if (fcntl(fd, F_SETFD, FD_CLOEXEC) != 0) return LastError("fcntl");
  return UniqueFd(fd);
}

Result<Flow> ConnectedFlow(int fd, const FlowClassifier& classifier) {
  auto kind = InspectIpSocket(fd);
  if (!kind.ok()) return kind.failure;
  SocketAddress peer;
  socklen_t length = sizeof peer.v6;
  if (getpeername(fd, &peer.sa, &length) != 0) return LastError("getpeername");
  KernelFlow kernel;
  if (classifier.uses_ids() && kind.value.transport == Transport::kTcp)
    kernel = GetKernelFlow(fd).value;
  return classifier.Classify(kind.value.transport, kernel, peer, kind.value.address);
}

bool IsConnection(int fd, const SocketAddress& peer, const SocketAddress& local) {
  if (peer.family() == AF_UNIX) return false;  // they all have the same addresses
  SocketAddress address;
  socklen_t length = sizeof address.v6;
  if (getpeername(fd, &address.sa, &length) != 0 || address != peer) return false;
  length = sizeof address.v6;
  return getsockname(fd, &address.sa, &length) == 0 && address == local;
}

}  // namespace rss
