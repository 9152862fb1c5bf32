#include "core/flow.h"

#include <algorithm>

#include "core/hash_type.h"

namespace rss {

Flow FlowClassifier::Hash(Transport transport, const SocketAddress& peer,
                          const SocketAddress& local) const {
  bool tcp = transport == Transport::kTcp;
  bool with_ports = config_.with_ports(transport);
  uint8_t tuple[kMaxTupleSize];
  size_t size = TupleBytes(peer, local, with_ports, tuple);
  Flow flow;
  if (size == 0) return flow;
  flow.flow_id = hasher_.Hash(tuple, size);
  flow.hash_type = HashTypeOf(tcp, size <= 12, with_ports);
  flow.bucket = config_.BucketOf(flow.flow_id);
  return flow;
}

Flow FlowClassifier::Classify(Transport transport, const KernelFlow& kernel,
                              const SocketAddress& peer, const SocketAddress& local) const {
  bool by_id = uses_ids() && (transport != Transport::kTcp || config_.tcp_4tuple);
  int bucket = by_id ? BucketOf(kernel, local) : -1;
  if (bucket >= 0) return Flow{kernel.flow_id, kernel.hash_type, bucket, true};
  return Hash(transport, peer, local);
}

void FlowClassifier::SetCards(CardLayouts cards, std::vector<int> bucket_to_cpu) {
  // A map that returns is not kept twice, however often queues change.
  auto found = std::find_if(later_.begin(), later_.end(), [&](const auto& later) {
    return later->cards == cards && later->bucket_to_cpu == bucket_to_cpu;
  });
  if (found == later_.end()) {
    Map map{std::move(cards), std::move(bucket_to_cpu)};
    found = later_.insert(later_.end(), std::make_unique<const Map>(std::move(map)));
  }
  map_.store(found->get(), std::memory_order_release);
  uses_ids_.store(true, std::memory_order_release);
}

const CardLayout* FlowClassifier::CardOf(const SocketAddress& local) const {
  const CardLayouts& cards = map().cards;
  if (cards.size() == 1) return &cards[0];
  SocketAddress host = local.Unmapped();
  host.set_port(0);
  for (const CardLayout& card : cards)
    for (const SocketAddress& address : card.addresses)
      if (address == host) return &card;
  return nullptr;
}

int FlowClassifier::BucketOfHash(uint32_t hash, const SocketAddress& local) const {
  const CardLayout* card = CardOf(local);
  if (card == nullptr) return config_.BucketOf(hash);
  return card->BucketAt(static_cast<int>(hash % static_cast<uint32_t>(card->buckets)));
}

int FlowClassifier::BucketOf(const KernelFlow& kernel, const SocketAddress& local) const {
  if (!has_card())
    return HashTypeHasBucket(kernel.hash_type) ? config_.BucketOf(kernel.flow_id) : -1;
  uint32_t type = StripInner(kernel.hash_type);
  const CardLayout* card = type == kHashTypeNone ? nullptr : CardOf(local);
  if (card == nullptr) return -1;
  const std::vector<int>& queues = card->queue_bucket;
  if (type != kHashTypeOpaque || queues.empty()) return BucketOfHash(kernel.flow_id, local);
  int bucket = kernel.flow_id < queues.size() ? queues[kernel.flow_id] : -1;
  return bucket < 0 ? -1 : card->BucketAt(bucket);
}

}  // namespace rss
