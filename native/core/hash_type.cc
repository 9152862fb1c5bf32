#include "core/hash_type.h"

namespace rss {

uint32_t StripInner(uint32_t type) {
  return type & ~kHashTypeInner;
}

const char* HashTypeName(uint32_t type) {
  switch (StripInner(type)) {
    case kHashTypeNone:
      return "none";
    case kHashTypeIpv4:
      return "ipv4";
    case kHashTypeTcpIpv4:
      return "tcp-ipv4";
    case kHashTypeIpv6:
      return "ipv6";
    case kHashTypeTcpIpv6:
      return "tcp-ipv6";
    case kHashTypeIpv6Ex:
      return "ipv6-ex";
    case kHashTypeTcpIpv6Ex:
      return "tcp-ipv6-ex";
    case kHashTypeUdpIpv4:
      return "udp-ipv4";
    case kHashTypeUdpIpv4Ex:
      return "udp-ipv4-ex";
    case kHashTypeUdpIpv6:
      return "udp-ipv6";
    case kHashTypeUdpIpv6Ex:
      return "udp-ipv6-ex";
    case kHashTypeOpaque:
      return "opaque";
    case kHashTypeOpaqueHash:
      return "opaque-hash";
    default:
      return "unknown";
  }
}

bool HashTypeHasBucket(uint32_t type) {
  switch (StripInner(type)) {
    case kHashTypeIpv4:
    case kHashTypeTcpIpv4:
    case kHashTypeIpv6:
    case kHashTypeTcpIpv6:
    case kHashTypeUdpIpv4:
    case kHashTypeUdpIpv6:
      return true;
    default:
      return false;
  }
}

uint32_t HashTypeOf(bool tcp, bool v4, bool with_ports) {
  if (!with_ports) return v4 ? kHashTypeIpv4 : kHashTypeIpv6;
  if (tcp) return v4 ? kHashTypeTcpIpv4 : kHashTypeTcpIpv6;
  return v4 ? kHashTypeUdpIpv4 : kHashTypeUdpIpv6;
}

}  // namespace rss
