#include "core/flow.h"

#include "core/hash_type.h"

namespace rss {

Flow FlowClassifier::Hash(Transport transport, const SocketAddress& peer,
                          const SocketAddress& local) const {
  bool tcp = transport == Transport::kTcp;
  bool with_ports = tcp || config_.udp_4tuple;
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
  if (uses_ids()) {
    int bucket = BucketOf(kernel);
    if (bucket >= 0) return Flow{kernel.flow_id, kernel.hash_type, bucket, true};
  }
  return Hash(transport, peer, local);
}

int FlowClassifier::BucketOf(const KernelFlow& kernel) const {
  if (!config_.has_card())
    return HashTypeHasBucket(kernel.hash_type) ? config_.BucketOf(kernel.flow_id) : -1;
  uint32_t type = StripInner(kernel.hash_type);
  if (type == kHashTypeNone) return -1;
  const std::vector<int>& queues = config_.card.queue_bucket;
  if (type != kHashTypeOpaque || queues.empty()) return config_.BucketOf(kernel.flow_id);
  return kernel.flow_id < queues.size() ? queues[kernel.flow_id] : -1;
}

}  // namespace rss
