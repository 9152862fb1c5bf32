// Connects TCP and UDP sockets, from a source that is given or looked for.
#pragma once

#include "platform/platform.h"

namespace rss {

constexpr int kFirstSourcePort = 32768;

struct Connecting {
  Transport transport = Transport::kTcp;
  SocketAddress peer;
  SocketAddress local;  // without a family, or with port 0: the kernel chooses
  int bucket = -1;      // that what the peer sends is to fall into; -1: any
};

// A socket that does not block, on its way to the peer: TCP is writable once it is connected, or
// has failed. EADDRINUSE or EADDRNOTAVAIL when another socket has the source. With a bucket and no
// source port, one of those from kFirstSourcePort on is looked for: EADDRNOTAVAIL when none of the
// bucket's is free. `classifier` is needed with a bucket alone.
Result<UniqueFd> Connect(const Connecting& how, const FlowClassifier* classifier = nullptr);

}  // namespace rss
