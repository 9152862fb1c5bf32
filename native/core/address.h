// Socket addresses: parse, format, compare. IPv4 and IPv6 only.
#pragma once

#include <netinet/in.h>
#include <stdint.h>
#include <sys/socket.h>

#include <string>

#include "core/result.h"

namespace rss {

struct SocketAddress {
  union {
    sockaddr sa;
    sockaddr_in v4;
    sockaddr_in6 v6;
  };

  SocketAddress();
  int family() const { return sa.sa_family; }
  socklen_t length() const { return family() == AF_INET ? sizeof v4 : sizeof v6; }
  uint16_t port() const { return ntohs(family() == AF_INET ? v4.sin_port : v6.sin6_port); }
  void set_port(uint16_t port);
  bool is_v4_mapped() const;
  bool is_unspecified() const;
  // A v4-mapped IPv6 address as the IPv4 address it stands for; any other address unchanged.
  SocketAddress Unmapped() const;
  // An IPv4 address as sockets of IPv6 have it; any other address unchanged.
  SocketAddress Mapped() const;
  std::string Host() const;  // "127.0.0.1", "fe80::1%em0"
};

bool operator==(const SocketAddress& a, const SocketAddress& b);
inline bool operator!=(const SocketAddress& a, const SocketAddress& b) {
  return !(a == b);
}

// Text form of an address, with an optional %zone on IPv6. Fails with EINVAL and the text.
Result<SocketAddress> ParseAddress(const std::string& host, uint16_t port);

}  // namespace rss
