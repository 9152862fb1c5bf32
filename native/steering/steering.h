// Steerings: how the kernel spreads flows over the listeners of a group. Each has one file here and
// one in lib/server/steering/.
#pragma once

#include <vector>

#include "platform/platform.h"

namespace rss {

// In the order of lib/contract.ts.
enum class Steering { kListenBucket, kReusePortLb, kBpfToeplitz, kBpfCpu, kSingle };
constexpr int kSteerings = 5;

struct ProgramInput {
  const RssConfig& config;
  Transport transport = Transport::kTcp;
  const std::vector<int>& listeners;  // by bucket, or by CPU
};

struct SteeringMethod {
  const char* name;
  // Sets what a listener needs before bind(2). `bucket` is the listener's, where it has one.
  Status (*prepare)(int fd, int bucket);
  // Whether dual-stack wildcard sockets can be members of a group.
  bool (*dual_stack)();
  // Makes the program that chooses the listener; null where the kernel needs none.
  BpfProgram (*program)(const ProgramInput& input);
};

extern const SteeringMethod kListenBucketMethod, kReusePortLbMethod, kBpfToeplitzMethod,
    kBpfCpuMethod, kSingleMethod;

// What several steerings have in common: groups by SO_REUSEPORT, and dual-stack sockets in them.
Status PrepareReusePort(int fd, int bucket);
bool AllowDualStack();

const SteeringMethod& MethodOf(Steering steering);

// Attaches the program of a steering to a group through any of its members. ENOTSUP where the
// steering has none, or the system takes none.
Status AttachProgram(Steering steering, int fd, const ProgramInput& input);

}  // namespace rss
