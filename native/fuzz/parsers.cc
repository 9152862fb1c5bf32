// Text from kernels and people: bucket_mapping, CPU lists, addresses. What is accepted must read
// the same after it has been formatted.
#include <stdlib.h>

#include "core/address.h"
#include "core/cpulist.h"
#include "core/rss_config.h"

static void Require(bool holds) {
  if (!holds) abort();
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace rss;
  if (size == 0) return 0;
  std::string text(reinterpret_cast<const char*>(data + 1), size - 1);

  int buckets = 1 << (data[0] & 7);
  auto map = ParseBucketMapping(text, buckets);
  if (map.ok()) {
    Require(map.value.size() == static_cast<size_t>(buckets));
    for (int cpu : map.value) Require(cpu >= 0 && cpu <= kMaxCpu);
  }

  auto cpus = ParseCpuList(text);
  if (cpus.ok()) {
    for (size_t i = 0; i < cpus.value.size(); ++i)
      Require(cpus.value[i] >= 0 && cpus.value[i] <= kMaxCpu &&
              (i == 0 || cpus.value[i - 1] < cpus.value[i]));
    auto again = ParseCpuList(FormatCpuList(cpus.value));
    Require(cpus.value.empty() || (again.ok() && again.value == cpus.value));
  }

  auto address = ParseAddress(text, data[0]);
  if (address.ok()) {
    auto again = ParseAddress(address.value.Host(), data[0]);
    Require(again.ok() && again.value == address.value);
  }
  return 0;
}
