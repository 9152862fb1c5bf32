// Finds the RSS bucket that a flow belongs to.
#pragma once

#include <stdint.h>

#include "core/rss_config.h"

namespace rss {

// The kernel's view of a flow: IP_FLOWID and IP_FLOWTYPE, by socket option or control message.
struct KernelFlow {
  uint32_t flow_id = 0;
  uint32_t hash_type = 0;  // 0: the packet was not hashed
};

struct Flow {
  uint32_t flow_id = 0;
  uint32_t hash_type = 0;
  int bucket = 0;
  bool from_kernel = false;  // false: flow id and bucket are our own Toeplitz hash
};

// Classifies flows by an RSS configuration. Immutable, so that threads may share it.
class FlowClassifier {
 public:
  explicit FlowClassifier(RssConfig config)
      : config_(std::move(config)), hasher_(config_.key, config_.algorithm) {}

  const RssConfig& config() const { return config_; }

  // The kernel's flow id is used when the buckets are the kernel's and the type says that it is an
  // RSS hash. (IP_RSSBUCKETID is never used: over IPv4, FreeBSD reports bucket 0 for unhashed
  // flows.) Everything else is hashed here as RSS would have hashed it. That includes type 63
  // (OPAQUE), whose flow id may be a card's own hash of addresses and ports (igb), or a queue's
  // number (vtnet), while the kernel's buckets for UDP are by addresses. It includes TCP without
  // ports, which no kernel hashes so.
  Flow Classify(Transport transport, const KernelFlow& kernel, const SocketAddress& peer,
                const SocketAddress& local) const;

  // The software hash alone.
  Flow Hash(Transport transport, const SocketAddress& peer, const SocketAddress& local) const;

 private:
  RssConfig config_;
  RssHasher hasher_;
};

}  // namespace rss
