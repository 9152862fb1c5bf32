// Sockets of the load clients and ceilings.
#pragma once

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <string>
#include <string_view>

#include "program.h"

namespace bench {

inline sockaddr_in Loopback(uint16_t port) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  return address;
}

// The server that the arguments name: host=127.0.0.1 port=11211
inline sockaddr_in ServerOf(Arguments* arguments) {
  sockaddr_in address = Loopback(static_cast<uint16_t>(arguments->Number("port", 11211)));
  std::string host = arguments->Text("host", "127.0.0.1");
  if (inet_pton(AF_INET, host.c_str(), &address.sin_addr) != 1) Fail("host");
  return address;
}

// A non-blocking listener. Its connections have no Nagle delay.
inline int Listen(const sockaddr_in& address) {
  int listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), on = 1;
  setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  setsockopt(listener, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  if (bind(listener, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0 ||
      listen(listener, 4096) != 0)
    Fail("listen");
  return listener;
}

// A blocking TCP connection without Nagle delay.
inline int Connect(const sockaddr_in& address) {
  int fd = socket(AF_INET, SOCK_STREAM, 0), on = 1;
  if (fd < 0 || connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0)
    Fail("connect");
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  return fd;
}

inline void SendAll(int fd, std::string_view bytes) {
  for (size_t sent = 0; sent < bytes.size();) {
    ssize_t n = send(fd, bytes.data() + sent, bytes.size() - sent, MSG_NOSIGNAL);
    if (n <= 0) Fail("send");
    sent += static_cast<size_t>(n);
  }
}

}  // namespace bench
