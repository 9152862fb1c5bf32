#include "platform/posix/connect.h"

#include <netinet/tcp.h>
#include <string.h>

#include "platform/posix/buffers.h"

namespace rss {
namespace {

constexpr int kTries = 100;

bool IsGiven(const SocketAddress& address) {
  return address.family() == AF_INET || address.family() == AF_INET6;
}

bool IsTaken(const Failure& failure) {
  return failure.error == -EADDRINUSE || failure.error == -EADDRNOTAVAIL;
}

// Connects from `local`, which may lack an address or a port.
Result<UniqueFd> ConnectOnce(const Connecting& how, const SocketAddress& local) {
  int type = how.transport == Transport::kTcp ? SOCK_STREAM : SOCK_DGRAM;
  UniqueFd fd(socket(how.peer.family(), type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (!fd) return LastError("socket");
  int on = 1;
  if (how.transport == Transport::kTcp) {
    setsockopt(fd.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    // A port may be chosen again while a connection from it is in TIME_WAIT.
    setsockopt(fd.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  } else if (how.datagram_size > 0) {
    BufferRequest request;
    request.datagram_size = how.datagram_size;
    (void)SizeBuffers(fd.get(), request);
  }
  if (IsGiven(local) && bind(fd.get(), &local.sa, local.length()) != 0) return LastError("bind");
  if (connect(fd.get(), &how.peer.sa, how.peer.length()) != 0 && errno != EINPROGRESS &&
      errno != EINTR)
    return LastError("connect");
  return fd;
}

// bind(2) does not know the peer. With SO_REUSEADDR it may choose a port that a connection to this
// peer has already, which connect(2) then refuses: another port is tried.
Result<UniqueFd> ConnectFrom(const Connecting& how, const SocketAddress& local) {
  bool kernel_chooses = IsGiven(local) && local.port() == 0;
  for (int tries = 1;; ++tries) {
    auto socket = ConnectOnce(how, local);
    bool another =
        kernel_chooses && IsTaken(socket.failure) && strcmp(socket.failure.syscall, "connect") == 0;
    if (!another || tries == kTries) return socket;
  }
}

// The address and port that packets to a peer leave from: those of a connected UDP socket.
Result<SocketAddress> SourceFor(const SocketAddress& local, const SocketAddress& peer) {
  Connecting how;
  how.transport = Transport::kUdp;
  how.peer = peer;
  auto fd = ConnectFrom(how, local);
  if (!fd.ok()) return fd.failure;
  SocketAddress source;
  socklen_t length = sizeof source.v6;
  if (getsockname(fd.value.get(), &source.sa, &length) != 0) return LastError("getsockname");
  return source;
}

}  // namespace

Result<UniqueFd> Connect(const Connecting& how, const FlowPredictor* predictor) {
  bool port_given = IsGiven(how.local) && how.local.port() != 0;
  if (how.bucket < 0 || port_given) return ConnectFrom(how, how.local);
  auto source = SourceFor(how.local, how.peer);
  if (!source.ok()) return source.failure;
  if (!predictor->Trusts(how.transport, source.value))
    return MakeFailure(ENOTSUP, "connect",
                       "the network card hashes by a key of its own, so no port can be chosen for "
                       "a bucket");
  // The search begins at the kernel's choice, which differs each time.
  constexpr int kPorts = 65536 - kFirstSourcePort;
  int first = source.value.port();
  for (int i = 0; i < kPorts; ++i) {
    source.value.set_port(static_cast<uint16_t>(kFirstSourcePort + (first + i) % kPorts));
    if (predictor->BucketOf(how.transport, how.peer, source.value) != how.bucket) continue;
    auto socket = ConnectFrom(how, source.value);
    if (socket.ok() || !IsTaken(socket.failure)) return socket;
  }
  return MakeFailure(EADDRNOTAVAIL, "bind", "no source port of the bucket is free");
}

}  // namespace rss
