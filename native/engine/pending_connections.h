// Connections that wait for JavaScript to turn them into Node sockets. When the worker dies, the
// rest go back to their buckets' inboxes.
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
  // Wakes `waker` when a pass leaves connections untaken.
  PendingConnections(const EngineContext& context, NodeSockets* sockets, Waker* waker,
                     ConnectionSink* sink)
      : context_(context), sockets_(sockets), waker_(waker), sink_(sink) {}

  void Receive(Connection&& connection) override { pending_.push_back(std::move(connection)); }
  void EndPass() override;
  bool has_waiting() const override { return !pending_.empty(); }

  const Flow& flow(size_t i) const { return pending_[i].flow; }
  // Releases the i-th descriptor, or returns -EBADF. Close() closes the descriptor if the thread is
  // terminated before JavaScript has wrapped it and called Arrived().
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
