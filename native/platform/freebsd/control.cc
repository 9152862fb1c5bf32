// Control messages: ip(4), ip6(4), udp(4); sys/netinet/ip_input.c ip_savecontrol(),
// sys/netinet6/ip6_input.c ip6_savecontrol(). Flow fields are uint32_t in host order.
#include "platform/posix/control.h"
#include "platform/freebsd/constants.h"
#include "platform/platform.h"

namespace rss {

Status EnableDatagramInfo(int fd, bool bound, bool flows) {
  if (bound && !flows) return Nothing{};
  Status status = SetOption(fd, SocketOption::kRecvDestination, 1);
  if (!status.ok() || !flows) return status;
  // Without the flow options, datagrams are hashed in software.
  (void)SetOption(fd, SocketOption::kRecvFlowId, 1);
  (void)SetOption(fd, SocketOption::kRecvRssBucketId, 1);
  return Nothing{};
}

DatagramInfo ParseControl(const msghdr& message) {
  DatagramInfo info;
  ForEachControl(message, [&info](const ControlMessage& c) {
    bool v4 = c.level == IPPROTO_IP, v6 = c.level == IPPROTO_IPV6;
    int type = c.type;
    if (v4 && type == IP_RECVDSTADDR) {
      info.destination.v4.sin_family = AF_INET;
      info.destination.v4.sin_addr = c.Read<in_addr>();
      info.has_destination = true;
    } else if (v6 && type == IPV6_PKTINFO) {
      auto packet = c.Read<in6_pktinfo>();
      info.destination.v6.sin6_family = AF_INET6;
      info.destination.v6.sin6_addr = packet.ipi6_addr;
      if (IN6_IS_ADDR_LINKLOCAL(&packet.ipi6_addr))
        info.destination.v6.sin6_scope_id = packet.ipi6_ifindex;
      info.has_destination = true;
    } else if ((v4 && type == kIpFlowId) || (v6 && type == kIpv6FlowId)) {
      info.flow.flow_id = c.Read<uint32_t>();
    } else if ((v4 && type == kIpFlowType) || (v6 && type == kIpv6FlowType)) {
      info.flow.hash_type = c.Read<uint32_t>();
    } else if ((v4 && type == kIpRssBucketId) || (v6 && type == kIpv6RssBucketId)) {
      info.kernel_bucket = static_cast<int>(c.Read<uint32_t>());
    }
  });
  return info;
}

namespace {

size_t BuildSource(const SocketAddress& source, void* buffer) {
  // udp6_send() passes datagrams to v4-mapped peers on to udp_send(), which reads IPPROTO_IP
  // messages alone. So the address decides the level, not the socket.
  SocketAddress from = source.Unmapped();
  if (from.family() == AF_INET)
    return WriteControl(buffer, IPPROTO_IP, IP_SENDSRCADDR, from.v4.sin_addr);
  in6_pktinfo packet{};
  packet.ipi6_addr = from.v6.sin6_addr;
  packet.ipi6_ifindex = from.v6.sin6_scope_id;
  return WriteControl(buffer, IPPROTO_IPV6, IPV6_PKTINFO, packet);
}

}  // namespace

size_t BuildReplyControl(const SocketAddress* source, const SocketAddress& peer,
                         const KernelFlow& flow, void* buffer) {
  auto* at = static_cast<char*>(buffer);
  if (source != nullptr) at += BuildSource(*source, at);
  // udp_output() takes the flow with or without RSS, but of IPv4 alone.
  if (flow.hash_type != 0 && peer.Unmapped().family() == AF_INET) {
    at += WriteControl(at, IPPROTO_IP, kIpFlowId, flow.flow_id);
    at += WriteControl(at, IPPROTO_IP, kIpFlowType, flow.hash_type);
  }
  return static_cast<size_t>(at - static_cast<char*>(buffer));
}

size_t BuildSegmentControl(uint16_t, void*) {
  return 0;
}

}  // namespace rss
