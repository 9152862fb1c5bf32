// net.inet.rss.* (sys/net/rss_config.c, options RSS). Without the option the names are ENOENT. On
// 16-CURRENT some exist without RSS, so net.inet.rss.buckets decides.
#include <sys/types.h>
// sys/sysctl.h needs sys/types.h first
#include <string.h>
#include <sys/sysctl.h>

#include "platform/platform.h"

namespace rss {
namespace {

Result<int> ReadInt(const char* name) {
  int value = 0;
  size_t size = sizeof value;
  if (sysctlbyname(name, &value, &size, nullptr, 0) != 0) {
    Failure failure = LastError("sysctlbyname");
    failure.detail = name;
    return failure;
  }
  return value;
}

int ReadIntOr(const char* name, int otherwise) {
  auto value = ReadInt(name);
  return value.ok() ? value.value : otherwise;
}

Result<std::string> ReadText(const char* name) {
  for (int attempt = 0; attempt < 4; ++attempt) {  // the text may grow between the two calls
    size_t size = 0;
    if (sysctlbyname(name, nullptr, &size, nullptr, 0) != 0) break;
    std::string text(size + 1, '\0');
    size = text.size();
    if (sysctlbyname(name, &text[0], &size, nullptr, 0) == 0) {
      text.resize(strnlen(text.data(), size));  // the NUL is part of the value (SBUF_INCLUDENUL)
      return text;
    }
    if (errno != ENOMEM) break;
  }
  Failure failure = LastError("sysctlbyname");
  failure.detail = name;
  return failure;
}

// For root, and never in a jail (PRIV_NETINET_HASHKEY). False: the default key stays, which every
// released kernel has.
bool ReadKey(RssKey* key) {
  size_t size = key->size();
  RssKey read;
  if (sysctlbyname("net.inet.rss.key", read.data(), &size, nullptr, 0) != 0) return false;
  if (size != read.size()) return false;
  *key = read;
  return true;
}

}  // namespace

Result<RssConfig> ReadKernelRssConfig() {
  auto buckets = ReadInt("net.inet.rss.buckets");
  if (!buckets.ok()) {
    Failure failure = buckets.failure;
    if (failure.error == -ENOENT) failure.detail = "this kernel is built without options RSS";
    return failure;
  }
  RssConfig config;
  config.kernel = true;
  while (config.bits < kMaxBits && config.buckets() < buckets.value) ++config.bits;
  if (config.buckets() != buckets.value)
    return MakeFailure(EINVAL, "sysctlbyname",
                       "net.inet.rss.buckets: " + std::to_string(buckets.value));
  auto mapping = ReadText("net.inet.rss.bucket_mapping");
  if (!mapping.ok()) return mapping.failure;
  auto cpus = ParseBucketMapping(mapping.value, config.buckets());
  if (!cpus.ok()) return cpus.failure;
  config.bucket_to_cpu = cpus.value;
  config.key_readable = ReadKey(&config.key);
  config.algorithm =
      ReadIntOr("net.inet.rss.hashalgo", 2) == 1 ? HashAlgorithm::kNaive : HashAlgorithm::kToeplitz;
  config.max_bits = ReadIntOr("net.inet.rss.maxbits", kMaxBits);
  config.ncpus = ReadIntOr("net.inet.rss.ncpus", 1);
  config.max_cpus = ReadIntOr("net.inet.rss.maxcpus", kMaxRssCpus);
  config.base_cpu = ReadIntOr("net.inet.rss.basecpu", 0);
  config.debug = ReadIntOr("net.inet.rss.debug", 0);
  config.udp_4tuple = ReadIntOr("net.inet.rss.udp_4tuple", 0) != 0;  // 16-CURRENT
  if (static_cast<uint32_t>(ReadIntOr("net.inet.rss.mask", config.mask())) != config.mask())
    return MakeFailure(EINVAL, "sysctlbyname", "net.inet.rss.mask does not fit buckets");
  if (ReadIntOr("net.inet.rss.bits", config.bits) != config.bits)
    return MakeFailure(EINVAL, "sysctlbyname", "net.inet.rss.bits does not fit buckets");
  return config;
}

}  // namespace rss
