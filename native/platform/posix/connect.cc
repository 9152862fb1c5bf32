#include "platform/posix/connect.h"

#include <netinet/tcp.h>

namespace rss {
namespace {

bool IsGiven(const SocketAddress& address) {
  return address.family() == AF_INET || address.family() == AF_INET6;
}

Result<UniqueFd> ConnectFrom(Transport transport, const SocketAddress& local,
                             const SocketAddress& peer) {
  int type = transport == Transport::kTcp ? SOCK_STREAM : SOCK_DGRAM;
  UniqueFd fd(socket(peer.family(), type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (!fd) return LastError("socket");
  int on = 1;
  if (transport == Transport::kTcp) {
    setsockopt(fd.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    // A port is the same again after a connection that is in TIME_WAIT still.
    setsockopt(fd.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  }
  if (IsGiven(local) && bind(fd.get(), &local.sa, local.length()) != 0) return LastError("bind");
  if (connect(fd.get(), &peer.sa, peer.length()) != 0 && errno != EINPROGRESS && errno != EINTR)
    return LastError("connect");
  return fd;
}

// The address and port that packets to a peer would leave from, which connecting a UDP socket
// tells.
Result<SocketAddress> SourceFor(const SocketAddress& local, const SocketAddress& peer) {
  auto fd = ConnectFrom(Transport::kUdp, local, peer);
  if (!fd.ok()) return fd.failure;
  SocketAddress source;
  socklen_t length = sizeof source.v6;
  if (getsockname(fd.value.get(), &source.sa, &length) != 0) return LastError("getsockname");
  return source;
}

}  // namespace

Result<UniqueFd> Connect(const Connecting& how, const FlowClassifier* classifier) {
  bool port_given = IsGiven(how.local) && how.local.port() != 0;
  if (how.bucket < 0 || port_given) return ConnectFrom(how.transport, how.local, how.peer);
  auto source = SourceFor(how.local, how.peer);
  if (!source.ok()) return source.failure;
  // Begins where the kernel would have: its choice differs each time.
  constexpr int kPorts = 65536 - kFirstSourcePort;
  int first = source.value.port();
  for (int i = 0; i < kPorts; ++i) {
    source.value.set_port(static_cast<uint16_t>(kFirstSourcePort + (first + i) % kPorts));
    if (classifier->Hash(how.transport, how.peer, source.value).bucket != how.bucket) continue;
    auto socket = ConnectFrom(how.transport, source.value, how.peer);
    bool taken = socket.failure.error == -EADDRINUSE || socket.failure.error == -EADDRNOTAVAIL;
    if (socket.ok() || !taken) return socket;
  }
  return MakeFailure(EADDRNOTAVAIL, "bind", "no source port of the bucket is free");
}

}  // namespace rss
