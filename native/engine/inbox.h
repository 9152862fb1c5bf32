// Delivers what other workers have put into the inboxes of this worker's buckets.
#pragma once

#include <vector>

#include "engine/connection_receiver.h"
#include "engine/datagram_engine.h"
#include "engine/engine_context.h"
#include "engine/handle.h"

namespace rss {

class Inbox final : public Waker {
 public:
  // The most connections delivered per turn.
  static constexpr size_t kConnectionsPerTurn = 64;

  explicit Inbox(const EngineContext& context);
  ~Inbox() override { Close(); }

  // Attaches this inbox to the bucket table, which wakes it from then on.
  void Start(ConnectionReceiver* receiver, DatagramEngine* datagrams);
  // Delivers what waits. True when nothing is left.
  bool Drain();
  // Idempotent.
  void Close();

  // Thread-safe. Drains in the next turn of the loop.
  void Wake() override { uv_async_send(wake_.get()); }

 private:
  void OnWake();
  bool DrainConnections();

  const EngineContext& context_;
  ConnectionReceiver* receiver_ = nullptr;  // null until Start()
  DatagramEngine* datagrams_ = nullptr;
  Handle<uv_async_t> wake_;
  std::vector<Connection> connections_;
  bool draining_ = false;
  bool closed_ = false;
};

}  // namespace rss
