// Control messages: ip(7) IP_PKTINFO, ipv6(7) IPV6_PKTINFO.
#include "platform/posix/control.h"
#include <netinet/in.h>
#include "platform/platform.h"

namespace rss {
namespace {

constexpr int kUdpSegment = 103;  // UDP_SEGMENT, Linux 4.18; older headers lack it

}  // namespace

Status EnableDatagramInfo(int fd, bool bound, bool) {
  if (bound) return Nothing{};
  return SetOption(fd, SocketOption::kRecvDestination, 1);
}

DatagramInfo ParseControl(const msghdr& message) {
  DatagramInfo info;
  ForEachControl(message, [&info](const ControlMessage& c) {
    if (c.level == IPPROTO_IP && c.type == IP_PKTINFO) {
      auto packet = c.Read<in_pktinfo>();
      info.destination.v4.sin_family = AF_INET;
      // The two differ for a broadcast, which is answered from the interface's address.
      bool multicast = IN_MULTICAST(ntohl(packet.ipi_addr.s_addr));
      info.destination.v4.sin_addr = multicast ? packet.ipi_addr : packet.ipi_spec_dst;
      info.has_destination = true;
    } else if (c.level == IPPROTO_IPV6 && c.type == IPV6_PKTINFO) {
      auto packet = c.Read<in6_pktinfo>();
      info.destination.v6.sin6_family = AF_INET6;
      info.destination.v6.sin6_addr = packet.ipi6_addr;
      if (IN6_IS_ADDR_LINKLOCAL(&packet.ipi6_addr))
        info.destination.v6.sin6_scope_id = packet.ipi6_ifindex;
      info.has_destination = true;
    }
  });
  return info;
}

size_t BuildReplyControl(const SocketAddress* source, const SocketAddress&, const KernelFlow&,
                         void* buffer) {
  if (source == nullptr) return 0;
  SocketAddress from = source->Unmapped();
  if (from.family() == AF_INET) {  // a dual-stack socket reads both levels
    in_pktinfo packet{};
    packet.ipi_spec_dst = from.v4.sin_addr;
    return WriteControl(buffer, IPPROTO_IP, IP_PKTINFO, packet);
  }
  in6_pktinfo packet{};
  packet.ipi6_addr = from.v6.sin6_addr;
  packet.ipi6_ifindex = from.v6.sin6_scope_id;
  return WriteControl(buffer, IPPROTO_IPV6, IPV6_PKTINFO, packet);
}

size_t BuildSegmentControl(uint16_t datagram_size, void* buffer) {
  return WriteControl(buffer, IPPROTO_UDP, kUdpSegment, datagram_size);
}

}  // namespace rss
