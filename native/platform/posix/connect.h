// Connects TCP and UDP sockets, from a given source or from a port whose flow is in a bucket.
#pragma once

#include "core/flow_predictor.h"
#include "platform/platform.h"

namespace rss {

constexpr int kFirstSourcePort = 32768;

struct Connecting {
  Transport transport = Transport::kTcp;
  SocketAddress peer;
  SocketAddress local;    // without a family, or with port 0: the kernel chooses
  int bucket = -1;        // that what the peer sends belongs to; -1: any
  int datagram_size = 0;  // UDP: the socket's buffers are made to hold such datagrams
};

// Returns a non-blocking socket that connects to the peer. A TCP socket becomes writable once it is
// connected or has failed. EADDRINUSE or EADDRNOTAVAIL when another socket has the source. With a
// bucket and no source port, the ports from kFirstSourcePort on are searched for one of the bucket:
// EADDRNOTAVAIL when none is free, ENOTSUP when buckets of flows to this host's address cannot be
// predicted. `predictor` is needed only with a bucket.
Result<UniqueFd> Connect(const Connecting& how, const FlowPredictor* predictor = nullptr);

}  // namespace rss
