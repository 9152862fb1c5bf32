// Takes what other workers have left in the inboxes of this worker's buckets.
#pragma once

#include <vector>

#include "engine/connection_receiver.h"
#include "engine/datagram_engine.h"
#include "engine/engine_context.h"
#include "engine/handle.h"

namespace rss {

class Inbox final : public Waker {
 public:
  // Most connections and datagrams of one turn.
  static constexpr size_t kItemsPerTurn = 64;

  explicit Inbox(const EngineContext& context);
  ~Inbox() override { Close(); }

  // From now on the bucket table wakes this worker.
  void Start(ConnectionReceiver* receiver, DatagramEngine* datagrams);
  // Delivers what waits. True when nothing is left.
  bool Drain();
  // Idempotent.
  void Close();

  // Any thread. Drains in the next turn of the loop.
  void Wake() override { uv_async_send(wake_.get()); }

 private:
  void OnWake();

  const EngineContext& context_;
  ConnectionReceiver* receiver_ = nullptr;  // null until Start()
  DatagramEngine* datagrams_ = nullptr;
  Handle<uv_async_t> wake_;
  std::vector<Connection> connections_;
  std::vector<ForwardedDatagram> forwarded_;
  bool draining_ = false;
  bool closed_ = false;
};

}  // namespace rss
