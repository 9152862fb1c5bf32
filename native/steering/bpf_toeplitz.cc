// Linux: a BPF program computes the Toeplitz hash and looks up the listener of its bucket.
#include "steering/steering.h"

namespace rss {
namespace {

BpfProgram Program(const ProgramInput& input) {
  return ToeplitzProgram(input.config, input.config.with_ports(input.transport), input.listeners);
}

}  // namespace

const SteeringMethod kBpfToeplitzMethod = {"bpf-toeplitz", PrepareReusePort, AllowDualStack,
                                           Program};

}  // namespace rss
