// cpuset_getaffinity(2), cpuset_setaffinity(2). cpuset_t grew from 32 bytes (CPU_SETSIZE 256, up to
// 13) to 128 (14). One binary serves all: it tries sizes until the running kernel takes one. A set
// is an array of longs, in which bit n is CPU n.
#include <sys/param.h>
// sys/cpuset.h needs sys/param.h first
#include <dlfcn.h>
#include <sys/cpuset.h>
#include <sys/sysctl.h>

#include "platform/platform.h"

namespace rss {
namespace {

constexpr size_t kBitsPerWord = sizeof(long) * 8;
constexpr size_t kSetSizes[] = {32, 128, 8, 16, 64, 256, 1024, 8192};  // bytes, likely ones first

CpuList ToList(const std::vector<unsigned long>& words) {
  CpuList cpus;
  for (size_t cpu = 0; cpu < words.size() * kBitsPerWord; ++cpu)
    if (words[cpu / kBitsPerWord] >> cpu % kBitsPerWord & 1) cpus.push_back(static_cast<int>(cpu));
  return cpus;
}

// 12 and 13 refuse sizes other than their own with ERANGE; 14 takes any that holds its CPUs.
Result<CpuList> Affinity(cpulevel_t level, cpuwhich_t which, id_t id = -1) {
  for (size_t size : kSetSizes) {
    std::vector<unsigned long> words(size / sizeof(long), 0);
    if (cpuset_getaffinity(level, which, id, size, reinterpret_cast<cpuset_t*>(words.data())) == 0)
      return ToList(words);
    if (errno != ERANGE) break;
  }
  return LastError("cpuset_getaffinity");
}

}  // namespace

// The union of the threads' sets (kern_cpuset.c). While one thread is not pinned, that is what
// cpuset(1), rc.conf's name_cpuset or the jail allows the process.
Result<CpuList> ProcessCpus() {
  return Affinity(CPU_LEVEL_WHICH, CPU_WHICH_PID);
}

Result<CpuList> ThreadAffinity() {
  return Affinity(CPU_LEVEL_WHICH, CPU_WHICH_TID);
}

Status SetThreadAffinity(const CpuList& cpus) {
  if (cpus.empty()) return MakeFailure(EINVAL, "cpuset_setaffinity", "no CPU given");
  for (size_t size : kSetSizes) {
    std::vector<unsigned long> words(size / sizeof(long), 0);
    if (static_cast<size_t>(cpus.back()) >= words.size() * kBitsPerWord) continue;
    for (int cpu : cpus) words[cpu / kBitsPerWord] |= 1ul << cpu % kBitsPerWord;
    if (cpuset_setaffinity(CPU_LEVEL_WHICH, CPU_WHICH_TID, -1, size,
                           reinterpret_cast<cpuset_t*>(words.data())) == 0)
      return Nothing{};
    if (errno != ERANGE) {
      Failure failure = LastError("cpuset_setaffinity");
      failure.detail = "CPUs " + FormatCpuList(cpus);
      return failure;
    }
  }
  return MakeFailure(EINVAL, "cpuset_setaffinity", "CPUs " + FormatCpuList(cpus));
}

// sched_getcpu(3) came with 13.1 and is looked up at run time, so that one binary runs on 12 too. A
// thread that is pinned to one CPU is on it anyway.
int CurrentCpu() {
  static auto* get_cpu = reinterpret_cast<int (*)()>(dlsym(RTLD_DEFAULT, "sched_getcpu"));
  if (get_cpu != nullptr) {
    int cpu = get_cpu();
    return cpu < 0 ? -errno : cpu;
  }
  auto cpus = ThreadAffinity();
  if (!cpus.ok()) return cpus.failure.error;
  return cpus.value.size() == 1 ? cpus.value[0] : -ENOTSUP;
}

// Domains are numbered without gaps, from 0 to vm.ndomains - 1.
std::vector<int> CpuDomains() {
  std::vector<int> domains;
  for (int domain = 0;; ++domain) {
    auto cpus = Affinity(CPU_LEVEL_WHICH, CPU_WHICH_DOMAIN, domain);
    if (!cpus.ok()) return domains;
    AssignDomain(cpus.value, domain, &domains);
  }
}

}  // namespace rss
