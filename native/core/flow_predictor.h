// Predicts the buckets of flows that do not exist yet, and checks the predictions.
//
// A prediction is right if whatever hashes the flow's packets uses the configuration's key. A
// network card may use another: then its flow ids differ from the predicted ones, and nothing that
// arrives through it can be predicted any longer.
#pragma once

#include <memory>
#include <mutex>
#include <vector>

#include "core/flow.h"

namespace rss {

class FlowPredictor {
 public:
  // `classifier` must outlive the predictor.
  explicit FlowPredictor(const FlowClassifier& classifier) : classifier_(classifier) {}

  // The flow of what `peer` will send to `local`.
  Flow Predict(Transport transport, const SocketAddress& peer, const SocketAddress& local) const;
  int BucketOf(Transport transport, const SocketAddress& peer, const SocketAddress& local) const {
    return Predict(transport, peer, local).bucket;
  }

  // From now on, predictions of what comes to this address are by this key, which has been learnt
  // from the flow ids of its card.
  void SetCardKey(const SocketAddress& local, const RssKey& key, bool udp_4tuple);

  // Compares a flow that the kernel has classified with its prediction. False when the card behind
  // the local address hashes by another key. A key that is learnt becomes better with each flow, so
  // that its predictions are never given up. Any thread may call it, like Trusts().
  bool Check(Transport transport, const Flow& flow, const SocketAddress& peer,
             const SocketAddress& local);

  // False once a flow to this local address was not as predicted.
  bool Trusts(Transport transport, const SocketAddress& local) const;

 private:
  struct Mistrust {
    Transport transport;
    SocketAddress local;  // without a port
  };

  struct Learnt {
    SocketAddress local;  // without a port
    std::unique_ptr<const FlowClassifier> by_card;
  };

  const FlowClassifier& classifier_;
  mutable std::mutex mutex_;
  std::vector<Learnt> learnt_;        // at most one per address of this host
  std::vector<Mistrust> mistrusted_;  // at most one per transport and address of this host
};

}  // namespace rss
