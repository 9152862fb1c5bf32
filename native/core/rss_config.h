// The RSS configuration of a host, read from its kernel or derived as FreeBSD's kernel would.
#pragma once

#include <string>
#include <vector>

#include "core/cpulist.h"
#include "core/result.h"
#include "core/toeplitz.h"

namespace rss {

enum class Transport { kTcp, kUdp };

constexpr int kMaxBits = 7;                     // RSS_MAXBITS: at most 128 buckets
constexpr int kMaxRssCpus = 64;                 // RSS_MAXCPUS
constexpr int kMaxVirtualCpus = 1 << kMaxBits;  // a virtual configuration may use a bucket per CPU

// Buckets of the network cards that serve some addresses, on a kernel without options RSS.
struct CardLayout {
  std::vector<SocketAddress> addresses;  // without ports; empty: all
  int first = 0;                         // the first of its buckets
  int buckets = 1;                       // a bucket is the first plus the remainder of a flow id
  // Ids of type OPAQUE are numbers of queues, and these are the queues' buckets; -1: not a queue.
  // Empty: such ids are hashes like others.
  std::vector<int> queue_bucket;
  // The bucket of each remainder, where several share one. Empty: none do.
  std::vector<int> shared;

  int BucketAt(int remainder) const {
    return shared.empty() ? first + remainder : shared[remainder];
  }
  bool operator==(const CardLayout& other) const {
    return addresses == other.addresses && first == other.first && buckets == other.buckets &&
           queue_bucket == other.queue_bucket && shared == other.shared;
  }
};
using CardLayouts = std::vector<CardLayout>;

struct RssConfig {
  bool kernel = false;  // the kernel's; with neither this nor a card, a virtual configuration
  CardLayouts cards;
  std::string reason;  // why a virtual configuration stands in for the kernel's
  HashAlgorithm algorithm = HashAlgorithm::kToeplitz;
  RssKey key = kDefaultKey;
  bool key_readable = true;  // false: the kernel's may not be read; this is FreeBSD's default
  int bits = 0;
  int max_bits = kMaxBits;
  int ncpus = 1;
  int max_cpus = kMaxRssCpus;
  int base_cpu = 0;
  int debug = 0;
  bool tcp_4tuple = true;  // false: a server wants a client's connections on one worker
  bool udp_4tuple = false;
  // Whether ports are hashed.
  bool with_ports(Transport transport) const {
    return transport == Transport::kTcp ? tcp_4tuple : udp_4tuple;
  }
  std::vector<int> bucket_to_cpu;

  bool has_card() const { return !cards.empty(); }
  int buckets() const { return has_card() ? static_cast<int>(bucket_to_cpu.size()) : 1 << bits; }
  uint32_t mask() const { return (1u << bits) - 1; }
  int BucketOf(uint32_t hash) const {
    if (has_card()) return static_cast<int>(hash % static_cast<uint32_t>(buckets()));
    return static_cast<int>(hash & mask());
  }
};

// Strict reader of net.inet.rss.bucket_mapping, "0:0 1:1 2:0 3:1": every bucket exactly once, one
// space between, nothing else. A failure's detail quotes the text.
Result<std::vector<int>> ParseBucketMapping(const std::string& text, int buckets);

// FreeBSD's derivation (rss_init() in rss_config.c) over the given CPUs. `bits` -1 derives them.
RssConfig VirtualRssConfig(const CpuList& cpus, int bits, std::string reason);

}  // namespace rss
