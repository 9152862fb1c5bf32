#include "core/flow.h"

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

void FlowClassifier::SetCards(CardLayouts cards) {
  // A layout that returns is not kept twice, however often queues change.
  for (const auto& later : later_cards_)
    if (*later == cards) return cards_.store(later.get(), std::memory_order_release);
  later_cards_.push_back(std::make_unique<const CardLayouts>(std::move(cards)));
  cards_.store(later_cards_.back().get(), std::memory_order_release);
}

const CardLayout* FlowClassifier::CardOf(const SocketAddress& local) const {
  const CardLayouts& cards = *cards_.load(std::memory_order_acquire);
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
  if (!config_.has_card())
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
