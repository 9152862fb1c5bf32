// sched_setaffinity(2) with masks of any size: the kernel's may exceed cpu_set_t's 1,024 CPUs.
#include <pthread.h>
#include <sched.h>
#include <unistd.h>

#include <fstream>

#include "platform/platform.h"

namespace rss {
namespace {

class CpuMask {
 public:
  explicit CpuMask(size_t cpus) : cpus_(cpus), set_(CPU_ALLOC(cpus)) { CPU_ZERO_S(size(), set_); }
  ~CpuMask() { CPU_FREE(set_); }
  CpuMask(const CpuMask&) = delete;
  CpuMask& operator=(const CpuMask&) = delete;

  size_t size() const { return CPU_ALLOC_SIZE(cpus_); }
  cpu_set_t* get() { return set_; }
  void Add(int cpu) { CPU_SET_S(cpu, size(), set_); }
  CpuList List() const {
    CpuList cpus;
    for (size_t cpu = 0; cpu < cpus_; ++cpu)
      if (CPU_ISSET_S(cpu, size(), set_)) cpus.push_back(static_cast<int>(cpu));
    return cpus;
  }

 private:
  size_t cpus_;
  cpu_set_t* set_;
};

Result<CpuList> Affinity(pid_t thread) {
  // EINVAL: the kernel's mask is larger than ours (sched_getaffinity(2), NOTES).
  for (size_t cpus = 1024; cpus <= kMaxCpu + 1; cpus *= 2) {
    CpuMask mask(cpus);
    if (sched_getaffinity(thread, mask.size(), mask.get()) == 0) return mask.List();
    if (errno != EINVAL) break;
  }
  return LastError("sched_getaffinity");
}

CpuList ReadCpuList(const std::string& file) {
  std::string line;
  std::getline(std::ifstream(file), line);
  auto cpus = ParseCpuList(line);
  return cpus.ok() ? cpus.value : CpuList();
}

}  // namespace

// The main thread's mask: what taskset(1), a cpuset or a container allows the process, unless the
// program has pinned its main thread.
Result<CpuList> ProcessCpus() {
  return Affinity(getpid());
}

Result<CpuList> ThreadAffinity() {
  return Affinity(0);
}

Status SetThreadAffinity(const CpuList& cpus) {
  if (cpus.empty()) return MakeFailure(EINVAL, "sched_setaffinity", "no CPU given");
  CpuMask mask(cpus.back() < 1024 ? 1024 : kMaxCpu + 1);
  for (int cpu : cpus) mask.Add(cpu);
  auto before = ThreadAffinity();
  if (sched_setaffinity(0, mask.size(), mask.get()) != 0) {
    Failure failure = LastError("sched_setaffinity");
    failure.detail = "CPUs " + FormatCpuList(cpus);
    return failure;
  }
  // The kernel silently drops CPUs that are absent or not allowed. That is an error here, which
  // leaves the thread as it was.
  auto granted = ThreadAffinity();
  if (!granted.ok() || granted.value == cpus) return Nothing{};
  if (before.ok()) (void)SetThreadAffinity(before.value);
  return MakeFailure(
      EINVAL, "sched_setaffinity",
      "of CPUs " + FormatCpuList(cpus) + " only " + FormatCpuList(granted.value) + " may be used");
}

int CurrentCpu() {
  int cpu = sched_getcpu();
  return cpu < 0 ? -errno : cpu;
}

// Node numbers may have gaps. Without NUMA in the kernel there is no such directory.
std::vector<int> CpuDomains() {
  std::vector<int> domains;
  CpuList nodes = ReadCpuList("/sys/devices/system/node/online");
  for (int node : nodes)
    AssignDomain(ReadCpuList("/sys/devices/system/node/node" + std::to_string(node) + "/cpulist"),
                 node, &domains);
  if (nodes.empty()) AssignDomain(ReadCpuList("/sys/devices/system/cpu/online"), 0, &domains);
  return domains;
}

}  // namespace rss
