#include "core/rss_config.h"

#include <algorithm>

namespace rss {
namespace {

// A number as the kernel prints it: without leading zeros.
bool ParseField(const std::string& text, size_t* at, int* out) {
  size_t start = *at;
  return ParseDecimal(text, at, out) && (*at - start == 1 || text[start] != '0');
}

}  // namespace

Result<std::vector<int>> ParseBucketMapping(const std::string& text, int buckets) {
  auto malformed = [&](const std::string& what) {
    return MakeFailure(EINVAL, "sysctlbyname",
                       "net.inet.rss.bucket_mapping: " + what + " in \"" + text + "\"");
  };
  std::vector<int> cpus(buckets, -1);
  int seen = 0;
  for (size_t at = 0; at < text.size(); ++at) {
    size_t entry = at;
    int bucket = 0, cpu = 0;
    bool valid = ParseField(text, &at, &bucket) && at < text.size() && text[at++] == ':' &&
                 ParseField(text, &at, &cpu) && (at == text.size() || text[at] == ' ') &&
                 at + 1 != text.size();
    if (!valid) return malformed("malformed entry at offset " + std::to_string(entry));
    if (bucket >= buckets)
      return malformed("bucket " + std::to_string(bucket) + " out of 0.." +
                       std::to_string(buckets - 1));
    if (cpus[bucket] != -1) return malformed("bucket " + std::to_string(bucket) + " twice");
    cpus[bucket] = cpu;
    ++seen;
  }
  if (seen != buckets)
    return malformed(std::to_string(seen) + " of " + std::to_string(buckets) + " buckets");
  return cpus;
}

RssConfig VirtualRssConfig(const CpuList& cpus, int bits, std::string reason) {
  RssConfig config;
  config.reason = std::move(reason);
  CpuList used = cpus.empty() ? CpuList{0} : cpus;
  config.ncpus = std::min<int>(static_cast<int>(used.size()), kMaxVirtualCpus);
  config.max_cpus = kMaxVirtualCpus;
  used.resize(config.ncpus);
  if (bits < 0) {
    bits = 0;
    for (int n = config.ncpus - 1; n > 0; n >>= 1) ++bits;  // fls(ncpus - 1)
    if (config.ncpus > 1) ++bits;
  }
  config.bits = std::min(bits, kMaxBits);
  for (int bucket = 0; bucket < config.buckets(); ++bucket)
    config.bucket_to_cpu.push_back(used[bucket % config.ncpus]);
  return config;
}

}  // namespace rss
