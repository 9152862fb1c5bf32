// Finds the RSS bucket that a flow belongs to.
#pragma once

#include <stdint.h>

#include <atomic>
#include <memory>
#include <vector>

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

// Classifies flows by an RSS configuration. Threads may share it.
class FlowClassifier {
 public:
  explicit FlowClassifier(RssConfig config)
      : config_(std::move(config)),
        hasher_(config_.key, config_.algorithm),
        first_{config_.cards, config_.bucket_to_cpu},
        map_(&first_),
        uses_ids_(config_.kernel || config_.has_card()) {}
  FlowClassifier(const FlowClassifier&) = delete;
  FlowClassifier& operator=(const FlowClassifier&) = delete;

  // The configuration at the start: a card's map may have changed since then.
  const RssConfig& config() const { return config_; }

  bool has_card() const { return !map().cards.empty(); }
  // The CPU that handles the packets of a bucket; -1: unknown.
  int CpuOf(int bucket) const {
    const std::vector<int>& cpus = map().bucket_to_cpu;
    auto at = static_cast<size_t>(bucket);
    return at < cpus.size() ? cpus[at] : -1;
  }

  // Whether the kernel's flow ids have a part in the classification.
  bool uses_ids() const { return uses_ids_.load(std::memory_order_relaxed); }
  // Whether a flow came by a card without an id that says where it belongs.
  bool lacks_id(const Flow& flow) const { return has_card() && !flow.from_kernel; }
  // For cards whose queues have changed, and for the first card of a virtual configuration. `cards`
  // lead to as many buckets as before. Only one thread may call it; others may classify meanwhile.
  void SetCards(CardLayouts cards, std::vector<int> bucket_to_cpu);
  // For a card whose ids turn out to say nothing. Other threads may classify meanwhile.
  void IgnoreIds() { uses_ids_.store(false, std::memory_order_relaxed); }

  // The kernel's flow id is used when the buckets are the kernel's and the type says that it is an
  // RSS hash. (IP_RSSBUCKETID is never used: over IPv4, FreeBSD reports bucket 0 for unhashed
  // flows.) Everything else is hashed here as RSS would have hashed it. That includes type 63
  // (OPAQUE), whose flow id may be a card's own hash of addresses and ports (igb), or a queue's
  // number (vtnet), while the kernel's buckets for UDP are by addresses. If the buckets are a
  // card's, ids of all types are used: the card has chosen the queue by this very id. TCP
  // without ports is always hashed here: no kernel hashes so.
  Flow Classify(Transport transport, const KernelFlow& kernel, const SocketAddress& peer,
                const SocketAddress& local) const;

  // The bucket of a hash that the kernel or a card would give.
  int BucketOfHash(uint32_t hash, const SocketAddress& local) const;

  // The software hash alone.
  Flow Hash(Transport transport, const SocketAddress& peer, const SocketAddress& local) const;

 private:
  struct Map {
    CardLayouts cards;
    std::vector<int> bucket_to_cpu;
  };
  const Map& map() const { return *map_.load(std::memory_order_acquire); }
  // The card that serves a local address; null: none does.
  const CardLayout* CardOf(const SocketAddress& local) const;
  // The bucket of an id, or -1 when it says nothing.
  int BucketOf(const KernelFlow& kernel, const SocketAddress& local) const;

  RssConfig config_;
  RssHasher hasher_;
  const Map first_;
  std::atomic<const Map*> map_;
  // Those that SetCards() was given. Threads may still read a former one.
  std::vector<std::unique_ptr<const Map>> later_;
  std::atomic<bool> uses_ids_;
};

}  // namespace rss
