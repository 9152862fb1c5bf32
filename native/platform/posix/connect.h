// Connects TCP and UDP sockets from a source that is given, or searched for.
#pragma once

#include "platform/platform.h"

namespace rss {

constexpr int kFirstSourcePort = 32768;

struct Connecting {
  Transport transport = Transport::kTcp;
  SocketAddress peer;
  SocketAddress local;    // without a family, or with port 0: the kernel chooses
  int bucket = -1;        // of what the peer sends; -1: any
  int datagram_size = 0;  // of UDP: the buffers hold such datagrams, as far as the kernel grants it
};

// A socket that does not block, on its way to the peer. TCP is writable once it is connected or has
// failed. EADDRINUSE or EADDRNOTAVAIL when another socket has the source. With a bucket and no
// source port, the ports from kFirstSourcePort on are searched for one of the bucket:
// EADDRNOTAVAIL when none is free. `classifier` is needed with a bucket alone.
Result<UniqueFd> Connect(const Connecting& how, const FlowClassifier* classifier = nullptr);

}  // namespace rss
