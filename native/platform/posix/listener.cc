#include "platform/posix/listener.h"

#include <fcntl.h>
#include <netinet/tcp.h>
#include <sys/types.h>

#include "platform/posix/inspect.h"

namespace rss {
namespace {

Status SetInt(int fd, int level, int name, int value, const char* option) {
  if (setsockopt(fd, level, name, &value, sizeof value) != 0)
    return LastError("setsockopt", option);
  return Nothing{};
}

Result<UniqueFd> OpenSocket(const ListenerOptions& options) {
  bool tcp = options.transport == Transport::kTcp;
  int family = options.address.family();
  UniqueFd fd(socket(family, (tcp ? SOCK_STREAM : SOCK_DGRAM) | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (!fd) return LastError("socket");
  Status status = Nothing{};
  if (tcp) {
    status = SetInt(fd.get(), SOL_SOCKET, SO_REUSEADDR, 1, "SO_REUSEADDR");
    if (!status.ok()) return status.failure;
    // Accepted connections inherit it (FreeBSD: syncache_socket()), which saves a call for each.
    status = SetInt(fd.get(), IPPROTO_TCP, TCP_NODELAY, 1, "TCP_NODELAY");
    if (!status.ok()) return status.failure;
  }
  if (family == AF_INET6) {
    status = SetInt(fd.get(), IPPROTO_IPV6, IPV6_V6ONLY, options.ipv6_only, "IPV6_V6ONLY");
    if (!status.ok()) return status.failure;
  }
  if (options.bind_any) {
    status = SetOption(fd.get(), SocketOption::kBindAny, 1);
    if (!status.ok()) return status.failure;
  }
  return fd;
}

Result<OpenedListener> Bind(UniqueFd fd, const SocketAddress& address) {
  if (bind(fd.get(), &address.sa, address.length()) != 0) return LastError("bind");
  OpenedListener opened;
  socklen_t length = sizeof opened.address.v6;
  if (getsockname(fd.get(), &opened.address.sa, &length) != 0) return LastError("getsockname");
  opened.fd = std::move(fd);
  return opened;
}

Status Listen(const OpenedListener& listener, const ListenerOptions& options) {
  if (options.transport == Transport::kUdp) return Nothing{};
  if (listen(listener.fd.get(), options.backlog) != 0) return LastError("listen");
  return Nothing{};
}

// Any process of the same user may share a group's port, so that each of the two gets part of the
// other's traffic. (Linux even gives such a port to a UDP socket that asks for any port.) This
// binds a socket that does not share, and returns its port.
Result<int> FindUnsharedPort(const ListenerOptions& options) {
  auto socket = OpenSocket(options);
  if (!socket.ok()) return socket.failure;
  auto bound = Bind(std::move(socket.value), options.address);
  if (!bound.ok()) return bound.failure;
  return bound.value.address.port();
}

// Takes ownership of an inherited socket, which may be a blocking one.
Result<UniqueFd> AdoptSocket(int fd) {
  auto owned = AdoptDescriptor(fd);
  if (!owned.ok()) return owned.failure;
  int flags = fcntl(fd, F_GETFL);
  if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) != 0) return LastError("fcntl");
  return owned;
}

}  // namespace

Result<OpenedListener> OpenListener(const ListenerOptions& options) {
  auto group = OpenGroup(options, Steering::kSingle, {GroupMember()});
  if (!group.ok()) return group.failure;
  return std::move(group.value.front());
}

Result<std::vector<OpenedListener>> OpenGroup(const ListenerOptions& options, Steering steering,
                                              const std::vector<GroupMember>& members) {
  std::vector<OpenedListener> group;
  SocketAddress address = options.address;
  if (options.unshared) {
    auto port = FindUnsharedPort(options);
    if (!port.ok()) return port.failure;
    address.set_port(static_cast<uint16_t>(port.value));
  }
  for (const GroupMember& member : members) {
    auto socket = OpenSocket(options);
    if (!socket.ok()) return socket.failure;
    Status status = MethodOf(steering).prepare(socket->get(), member.bucket);
    if (status.ok() && options.flow_sockets) status = AllowFlowSockets(socket->get());
    if (!status.ok()) return status.failure;
    auto bound = Bind(std::move(socket.value), address);
    if (!bound.ok()) return bound.failure;
    bound.value.short_buffers = SizeBuffers(bound.value.fd.get(), options.buffers);
    address.set_port(bound.value.address.port());
    group.push_back(std::move(bound.value));
  }
  for (size_t i = 0; i < group.size(); ++i) {
    Status status = Listen(group[i], options);
    if (!status.ok()) return status.failure;
    // FreeBSD 15 adds a socket to its group in listen(2), so this comes after it.
    if (members[i].domain >= 0)
      status = SetOption(group[i].fd.get(), SocketOption::kReusePortLbNuma, members[i].domain);
    if (!status.ok()) return status.failure;
  }
  return group;
}

Result<OpenedListener> AdoptListener(int fd, Transport transport, const BufferRequest& buffers) {
  bool tcp = transport == Transport::kTcp;
  auto kind = InspectIpSocket(fd);
  if (!kind.ok()) return kind.failure;
  if (kind.value.transport != transport || kind.value.listening != tcp ||
      kind.value.address.port() == 0)
    return MakeFailure(EPROTOTYPE, "getsockopt",
                       tcp ? "not a TCP socket that listens" : "not a bound UDP socket");
  auto owned = AdoptSocket(fd);
  if (!owned.ok()) return owned.failure;
  OpenedListener adopted;
  adopted.fd = std::move(owned.value);
  adopted.address = kind.value.address;
  if (tcp) {
    Status status = SetInt(fd, IPPROTO_TCP, TCP_NODELAY, 1, "TCP_NODELAY");
    if (!status.ok()) return status.failure;
  }
  adopted.short_buffers = SizeBuffers(fd, buffers);
  return adopted;
}

Result<UniqueFd> AdoptUnix(int fd) {
  auto kind = InspectSocket(fd);
  if (!kind.ok()) return kind.failure;
  if (kind.value.family != AF_UNIX || !kind.value.listening)
    return MakeFailure(EPROTOTYPE, "getsockopt", "not a Unix stream socket that listens");
  return AdoptSocket(fd);
}

}  // namespace rss
