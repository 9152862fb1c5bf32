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
  if (config_.kernel && HashTypeHasBucket(kernel.hash_type))
    return Flow{kernel.flow_id, kernel.hash_type, config_.BucketOf(kernel.flow_id), true};
  return Hash(transport, peer, local);
}

}  // namespace rss
