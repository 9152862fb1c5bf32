#include "core/flow_predictor.h"

#include <algorithm>

#include "core/hash_type.h"

namespace rss {
namespace {

SocketAddress WithoutPort(const SocketAddress& address) {
  SocketAddress host = address.Unmapped();
  host.set_port(0);
  return host;
}

}  // namespace

Flow FlowPredictor::Predict(Transport transport, const SocketAddress& peer,
                            const SocketAddress& local) const {
  std::lock_guard<std::mutex> lock(mutex_);
  if (learnt_.empty()) return classifier_.Hash(transport, peer, local);
  SocketAddress host = WithoutPort(local);
  for (const Learnt& one : learnt_) {
    if (one.local != host) continue;
    Flow flow = one.by_card->Hash(transport, peer, local);
    flow.bucket = classifier_.BucketOfHash(flow.flow_id, local);
    return flow;
  }
  return classifier_.Hash(transport, peer, local);
}

void FlowPredictor::SetCardKey(const SocketAddress& local, const RssKey& key, bool udp_4tuple) {
  RssConfig config = classifier_.config();
  config.key = key;
  config.udp_4tuple = udp_4tuple;
  auto by_card = std::make_unique<const FlowClassifier>(std::move(config));
  SocketAddress host = WithoutPort(local);
  std::lock_guard<std::mutex> lock(mutex_);
  for (Learnt& one : learnt_)
    if (one.local == host) {
      one.by_card = std::move(by_card);
      return;
    }
  learnt_.push_back({host, std::move(by_card)});
}

bool FlowPredictor::Check(Transport transport, const Flow& flow, const SocketAddress& peer,
                          const SocketAddress& local) {
  if (!flow.from_kernel || classifier_.has_card()) return true;
  Flow predicted = classifier_.Hash(transport, peer, local);
  // A hash of other fields says nothing about the key.
  if (StripInner(flow.hash_type) != predicted.hash_type || flow.flow_id == predicted.flow_id)
    return true;
  if (Trusts(transport, local)) {
    std::lock_guard<std::mutex> lock(mutex_);
    mistrusted_.push_back({transport, WithoutPort(local)});
  }
  return false;
}

bool FlowPredictor::Trusts(Transport transport, const SocketAddress& local) const {
  SocketAddress host = WithoutPort(local);
  std::lock_guard<std::mutex> lock(mutex_);
  return std::none_of(mistrusted_.begin(), mistrusted_.end(), [&](const Mistrust& one) {
    return one.transport == transport && one.local == host;
  });
}

}  // namespace rss
