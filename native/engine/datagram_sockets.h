// The sockets of DatagramEngine, and what its files share.
#pragma once

#include <utility>

#include "engine/datagram_engine.h"

namespace rss {

inline bool CanBeSource(const SocketAddress& address) {
  SocketAddress a = address.Unmapped();
  if (a.family() == AF_INET6) return !IN6_IS_ADDR_MULTICAST(&a.v6.sin6_addr);
  uint32_t host = ntohl(a.v4.sin_addr.s_addr);
  return !IN_MULTICAST(host) && host != INADDR_BROADCAST;
}

inline bool IsEmpty(int received) {
  return received == -EAGAIN || received == -EWOULDBLOCK || received == 0;
}

struct DatagramEngine::BoundSocket final : PolledSocket {
  BoundSocket(DatagramEngine* engine, DuplicatedSocket socket, int endpoint, bool receive)
      : PolledSocket(std::move(socket.fd)),
        engine(engine),
        address(socket.kind.address),
        endpoint(endpoint),
        receive(receive) {}
  void OnReadable() override { engine->Receive(this); }

  DatagramEngine* engine;
  SocketAddress address;
  int endpoint;
  bool receive;
};

struct DatagramEngine::ConnectedSocket final : PolledSocket {
  ConnectedSocket(DatagramEngine* engine, UniqueFd fd)
      : PolledSocket(std::move(fd)), engine(engine) {}
  void OnReadable() override { engine->ReceiveConnected(this); }

  DatagramEngine* engine;
  uint32_t id = 0;
  SocketAddress local, peer;
  Flow flow;               // of all datagrams from the peer
  bool predicted = false;  // the kernel has not confirmed `flow` yet
  uint32_t dropped = 0;    // datagrams that it has lost and that are counted
};

// The socket that sends a reply. Both pointers are null once it has been closed.
struct DatagramEngine::Outlet {
  const BoundSocket* bound = nullptr;
  const ConnectedSocket* connected = nullptr;

  bool operator==(const Outlet& other) const {
    return bound == other.bound && connected == other.connected;
  }
};

}  // namespace rss
