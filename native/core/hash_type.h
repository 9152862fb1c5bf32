// Flow hash types: FreeBSD's M_HASHTYPE_* values (sys/mbuf.h), as IP_FLOWTYPE reports them.
#pragma once

#include <stdint.h>

namespace rss {

constexpr uint32_t kHashTypeNone = 0;
constexpr uint32_t kHashTypeIpv4 = 129;
constexpr uint32_t kHashTypeTcpIpv4 = 130;
constexpr uint32_t kHashTypeIpv6 = 131;
constexpr uint32_t kHashTypeTcpIpv6 = 132;
constexpr uint32_t kHashTypeIpv6Ex = 133;
constexpr uint32_t kHashTypeTcpIpv6Ex = 134;
constexpr uint32_t kHashTypeUdpIpv4 = 135;
constexpr uint32_t kHashTypeUdpIpv4Ex = 136;  // FreeBSD 11 only
constexpr uint32_t kHashTypeUdpIpv6 = 137;
constexpr uint32_t kHashTypeUdpIpv6Ex = 138;
constexpr uint32_t kHashTypeOpaque = 63;
constexpr uint32_t kHashTypeOpaqueHash = 191;

constexpr uint32_t kHashTypes[] = {kHashTypeNone,      kHashTypeIpv4,      kHashTypeTcpIpv4,
                                   kHashTypeIpv6,      kHashTypeTcpIpv6,   kHashTypeIpv6Ex,
                                   kHashTypeTcpIpv6Ex, kHashTypeUdpIpv4,   kHashTypeUdpIpv4Ex,
                                   kHashTypeUdpIpv6,   kHashTypeUdpIpv6Ex, kHashTypeOpaque,
                                   kHashTypeOpaqueHash};

constexpr uint32_t kHashTypeInner = 0x40;  // FreeBSD 14: the hash is of an inner header

// The type without FreeBSD 14's inner-header bit.
uint32_t StripInner(uint32_t type);

// "tcp-ipv4", "ipv6", "none", "opaque", ...; "unknown" for a number this file does not know.
const char* HashTypeName(uint32_t type);

// True when the low bits of the flow id are an RSS bucket (rss_hash2bucket() in rss_config.c).
bool HashTypeHasBucket(uint32_t type);

// The type that RSS gives a flow of this transport and family.
uint32_t HashTypeOf(bool tcp, bool v4, bool with_ports);

}  // namespace rss
