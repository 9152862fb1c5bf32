// Predicts the buckets of flows that do not exist yet, and checks the predictions.
//
// A prediction is right if whatever hashes the flow's packets uses the configuration's key. A
// network card may use another: then its flow ids differ from the predicted ones, and nothing that
// arrives through it can be predicted any longer.
#pragma once

#include <mutex>
#include <vector>

#include "core/flow.h"

namespace rss {

class FlowPredictor {
 public:
  // `classifier` must outlive the predictor.
  explicit FlowPredictor(const FlowClassifier& classifier) : classifier_(classifier) {}

  // The bucket of what `peer` will send to `local`.
  int BucketOf(Transport transport, const SocketAddress& peer, const SocketAddress& local) const {
    return classifier_.Hash(transport, peer, local).bucket;
  }

  // Compares a flow that the kernel has classified with its prediction. False when the card behind
  // the local address hashes by another key. Any thread may call it, like Trusts().
  bool Check(Transport transport, const Flow& flow, const SocketAddress& peer,
             const SocketAddress& local);

  // False once a flow to this local address was not as predicted.
  bool Trusts(Transport transport, const SocketAddress& local) const;

 private:
  struct Mistrust {
    Transport transport;
    SocketAddress local;  // without a port
  };

  const FlowClassifier& classifier_;
  mutable std::mutex mutex_;
  std::vector<Mistrust> mistrusted_;  // at most one per transport and address of this host
};

}  // namespace rss
