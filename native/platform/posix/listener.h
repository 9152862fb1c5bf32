// Opens the listening sockets of an address in the order of calls that each steering needs.
#pragma once

#include <string>
#include <vector>

#include "platform/platform.h"
#include "platform/posix/buffers.h"
#include "steering/steering.h"

namespace rss {

struct ListenerOptions {
  Transport transport = Transport::kTcp;
  SocketAddress address;      // port 0: the kernel chooses
  bool ipv6_only = false;     // false on an IPv6 address: dual stack
  int backlog = SOMAXCONN;    // the kernel caps it: kern.ipc.soacceptqueue, net.core.somaxconn
  bool bind_any = false;      // privileged
  bool flow_sockets = false;  // UDP: sockets of single flows will share the port
  bool unshared = false;      // EADDRINUSE for a port in use, even by sockets that would share it
  BufferRequest buffers;
};

struct OpenedListener {
  UniqueFd fd;
  SocketAddress address;  // as getsockname(2) has it
  std::vector<ShortBuffer> short_buffers;
};

// One socket without any steering.
Result<OpenedListener> OpenListener(const ListenerOptions& options);

struct GroupMember {
  int bucket = 0;   // under kListenBucket
  int domain = -1;  // NUMA domain whose connections it gets, for TCP under kReusePortLb
};

// A group of sockets on one address: bound, then for TCP set to listen, in index order (Linux
// indexes a TCP group by listen(2), a UDP group by bind(2)). With port 0 the first bind chooses.
Result<std::vector<OpenedListener>> OpenGroup(const ListenerOptions& options, Steering steering,
                                              const std::vector<GroupMember>& members);

// Takes ownership of a TCP socket that listens, or of a bound UDP socket. EPROTOTYPE for any other;
// the caller keeps it then.
Result<OpenedListener> AdoptListener(int fd, Transport transport, const BufferRequest& buffers);
// The same for a Unix stream socket that listens.
Result<UniqueFd> AdoptUnix(int fd);

}  // namespace rss
