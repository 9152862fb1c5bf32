// Control messages: ip(7) IP_PKTINFO, ipv6(7) IPV6_PKTINFO.
#include <netinet/in.h>
#include <string.h>

#include "platform/platform.h"

namespace rss {
namespace {

template <typename T>
size_t WriteControl(void* buffer, int level, int type, const T& payload) {
  auto* header = static_cast<cmsghdr*>(buffer);
  memset(buffer, 0, CMSG_SPACE(sizeof payload));
  header->cmsg_level = level;
  header->cmsg_type = type;
  header->cmsg_len = CMSG_LEN(sizeof payload);
  memcpy(CMSG_DATA(header), &payload, sizeof payload);
  return CMSG_SPACE(sizeof payload);
}

}  // namespace

Status EnableDatagramInfo(int fd) {
  return SetOption(fd, SocketOption::kRecvDestination, 1);
}

DatagramInfo ParseControl(const msghdr& message) {
  DatagramInfo info;
  for (cmsghdr* c = CMSG_FIRSTHDR(&message); c != nullptr;
       c = CMSG_NXTHDR(const_cast<msghdr*>(&message), c)) {
    if (c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_PKTINFO) {
      in_pktinfo packet;
      memcpy(&packet, CMSG_DATA(c), sizeof packet);
      info.destination.v4.sin_family = AF_INET;
      info.destination.v4.sin_addr = packet.ipi_addr;
      info.has_destination = true;
    } else if (c->cmsg_level == IPPROTO_IPV6 && c->cmsg_type == IPV6_PKTINFO) {
      in6_pktinfo packet;
      memcpy(&packet, CMSG_DATA(c), sizeof packet);
      info.destination.v6.sin6_family = AF_INET6;
      info.destination.v6.sin6_addr = packet.ipi6_addr;
      if (IN6_IS_ADDR_LINKLOCAL(&packet.ipi6_addr))
        info.destination.v6.sin6_scope_id = packet.ipi6_ifindex;
      info.has_destination = true;
    }
  }
  return info;
}

size_t BuildReplyControl(const SocketAddress& source, void* buffer) {
  SocketAddress from = source.Unmapped();
  if (from.family() == AF_INET) {  // on a dual-stack socket too: Linux reads both levels there
    in_pktinfo packet{};
    packet.ipi_spec_dst = from.v4.sin_addr;
    return WriteControl(buffer, IPPROTO_IP, IP_PKTINFO, packet);
  }
  in6_pktinfo packet{};
  packet.ipi6_addr = from.v6.sin6_addr;
  packet.ipi6_ifindex = from.v6.sin6_scope_id;
  return WriteControl(buffer, IPPROTO_IPV6, IPV6_PKTINFO, packet);
}

}  // namespace rss
