#include "core/address.h"

#include <arpa/inet.h>
#include <net/if.h>
#include <string.h>

namespace rss {

SocketAddress::SocketAddress() {
  memset(&v6, 0, sizeof v6);
}

void SocketAddress::set_port(uint16_t port) {
  if (family() == AF_INET)
    v4.sin_port = htons(port);
  else
    v6.sin6_port = htons(port);
}

bool SocketAddress::is_v4_mapped() const {
  return family() == AF_INET6 && IN6_IS_ADDR_V4MAPPED(&v6.sin6_addr);
}

bool SocketAddress::is_unspecified() const {
  if (family() == AF_INET) return v4.sin_addr.s_addr == htonl(INADDR_ANY);
  return family() == AF_INET6 && IN6_IS_ADDR_UNSPECIFIED(&v6.sin6_addr);
}

SocketAddress SocketAddress::Unmapped() const {
  if (!is_v4_mapped()) return *this;
  SocketAddress out;
  out.v4.sin_family = AF_INET;
  out.v4.sin_port = v6.sin6_port;
  memcpy(&out.v4.sin_addr, v6.sin6_addr.s6_addr + 12, 4);
  return out;
}

SocketAddress SocketAddress::Mapped() const {
  if (family() != AF_INET) return *this;
  SocketAddress out;
  out.v6.sin6_family = AF_INET6;
  out.v6.sin6_port = v4.sin_port;
  out.v6.sin6_addr.s6_addr[10] = out.v6.sin6_addr.s6_addr[11] = 0xff;
  memcpy(out.v6.sin6_addr.s6_addr + 12, &v4.sin_addr, 4);
  return out;
}

std::string SocketAddress::Host() const {
  char text[INET6_ADDRSTRLEN + 1 + IF_NAMESIZE] = "";
  const void* bytes = family() == AF_INET ? static_cast<const void*>(&v4.sin_addr) : &v6.sin6_addr;
  if (inet_ntop(family(), bytes, text, sizeof text) == nullptr) return "";
  std::string host = text;
  if (family() == AF_INET6 && v6.sin6_scope_id != 0) {
    char name[IF_NAMESIZE];
    if (if_indextoname(v6.sin6_scope_id, name) != nullptr) host = host + "%" + name;
  }
  return host;
}

bool operator==(const SocketAddress& a, const SocketAddress& b) {
  if (a.family() != b.family() || a.port() != b.port()) return false;
  if (a.family() == AF_INET) return a.v4.sin_addr.s_addr == b.v4.sin_addr.s_addr;
  return a.v6.sin6_scope_id == b.v6.sin6_scope_id &&
         memcmp(&a.v6.sin6_addr, &b.v6.sin6_addr, sizeof a.v6.sin6_addr) == 0;
}

Result<SocketAddress> ParseAddress(const std::string& host, uint16_t port) {
  SocketAddress out;
  if (inet_pton(AF_INET, host.c_str(), &out.v4.sin_addr) == 1) {
    out.v4.sin_family = AF_INET;
    out.v4.sin_port = htons(port);
    return out;
  }
  out = SocketAddress();
  size_t percent = host.find('%');
  if (inet_pton(AF_INET6, host.substr(0, percent).c_str(), &out.v6.sin6_addr) == 1) {
    out.v6.sin6_family = AF_INET6;
    out.v6.sin6_port = htons(port);
    if (percent == std::string::npos) return out;
    out.v6.sin6_scope_id = if_nametoindex(host.c_str() + percent + 1);
    if (out.v6.sin6_scope_id != 0) return out;
  }
  return MakeFailure(EINVAL, "inet_pton", "not an IP address: \"" + host + "\"");
}

}  // namespace rss
