// Connections that wait for JavaScript to make sockets of Node of them. Those that are left when
// the worker dies go back to their bucket's inbox.
#pragma once

#include <vector>

#include "engine/connection_receiver.h"
#include "engine/node_sockets.h"

namespace rss {

class ConnectionSink {
 public:
  virtual ~ConnectionSink() = default;
  // The first `count` pending connections may be taken. False when JavaScript cannot run any more.
  virtual bool OnConnections(size_t count) = 0;
};

class PendingConnections final : public ConnectionReceiver {
 public:
  // `waker` is woken when a pass leaves connections over.
  PendingConnections(const EngineContext& context, NodeSockets* sockets, Waker* waker,
                     ConnectionSink* sink)
      : context_(context), sockets_(sockets), waker_(waker), sink_(sink) {}

  void Receive(Connection&& connection) override { pending_.push_back(std::move(connection)); }
  void EndPass() override;
  bool has_waiting() const override { return !pending_.empty(); }

  const Flow& flow(size_t i) const { return pending_[i].flow; }
  // Gives the i-th descriptor away, or -EBADF. Until Arrived() it is remembered, in case the thread
  // is terminated before JavaScript has wrapped it.
  int Take(size_t i);
  void Arrived() { in_transit_ = Transit(); }
  // Idempotent.
  void Close();

 private:
  struct Transit {
    int fd = -1;
    SocketAddress peer, local;
  };

  void RemoveTaken();

  const EngineContext& context_;
  NodeSockets* sockets_;
  Waker* waker_;
  ConnectionSink* sink_;
  std::vector<Connection> pending_;
  Transit in_transit_;
  bool delivering_ = false;
  bool closed_ = false;
};

}  // namespace rss
