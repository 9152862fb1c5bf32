// Samples whether flows are served on the CPU that processes their packets.
#pragma once

#include "engine/connection_receiver.h"
#include "engine/engine_context.h"

namespace rss {

// Stands before the receiver of connections.
class PlacementSampler final : public ConnectionReceiver {
 public:
  // Of so many connections, and of so many batches of datagrams, the first is sampled.
  static constexpr uint32_t kEvery = 16;

  PlacementSampler(const EngineContext& context, ConnectionReceiver* receiver)
      : context_(context), receiver_(receiver) {}

  void Receive(Connection&& connection) override {
    if (connections_++ % kEvery == 0) Sample(connection.fd.get(), connection.flow);
    receiver_->Receive(std::move(connection));
  }
  void EndPass() override { receiver_->EndPass(); }
  bool has_waiting() const override { return receiver_->has_waiting(); }

  // Datagrams that have been received together. `fd`: their connected socket; -1: a bound one, of
  // which no system says where packets were processed.
  void OnBatch(int fd, const Flow& flow) {
    if (batches_++ % kEvery == 0) Sample(fd, flow);
  }

 private:
  void Sample(int fd, const Flow& flow);

  const EngineContext& context_;
  ConnectionReceiver* receiver_;
  uint32_t connections_ = 0, batches_ = 0;
};

}  // namespace rss
