// The RSS configuration of a host, read from its kernel or derived as FreeBSD's kernel would.
#pragma once

#include <string>
#include <vector>

#include "core/cpulist.h"
#include "core/result.h"
#include "core/toeplitz.h"

namespace rss {

constexpr int kMaxBits = 7;                     // RSS_MAXBITS: at most 128 buckets
constexpr int kMaxRssCpus = 64;                 // RSS_MAXCPUS
constexpr int kMaxVirtualCpus = 1 << kMaxBits;  // a virtual configuration may use a bucket per CPU

struct RssConfig {
  bool kernel = false;  // false: a virtual configuration
  std::string reason;   // why a virtual configuration stands in for the kernel's
  HashAlgorithm algorithm = HashAlgorithm::kToeplitz;
  RssKey key = kDefaultKey;
  bool key_readable = true;  // false: the kernel's may not be read; this is FreeBSD's default
  int bits = 0;
  int max_bits = kMaxBits;
  int ncpus = 1;
  int max_cpus = kMaxRssCpus;
  int base_cpu = 0;
  int debug = 0;
  bool udp_4tuple = false;
  std::vector<int> bucket_to_cpu;

  int buckets() const { return 1 << bits; }
  uint32_t mask() const { return (1u << bits) - 1; }
  int BucketOf(uint32_t hash) const { return static_cast<int>(hash & mask()); }
};

// Strict reader of net.inet.rss.bucket_mapping, "0:0 1:1 2:0 3:1": every bucket exactly once, one
// space between, nothing else. A failure's detail quotes the text.
Result<std::vector<int>> ParseBucketMapping(const std::string& text, int buckets);

// FreeBSD's derivation (rss_init() in rss_config.c) over the given CPUs. `bits` -1 derives them.
RssConfig VirtualRssConfig(const CpuList& cpus, int bits, std::string reason);

}  // namespace rss
