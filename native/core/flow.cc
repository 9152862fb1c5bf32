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
  bool as_kernel = config_.kernel && (transport != Transport::kTcp || config_.tcp_4tuple);
  if (as_kernel && HashTypeHasBucket(kernel.hash_type))
    return Flow{kernel.flow_id, kernel.hash_type, config_.BucketOf(kernel.flow_id), true};
  return Hash(transport, peer, local);
}

}  // namespace rss
