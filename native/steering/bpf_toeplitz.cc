// Linux: a BPF program computes the Toeplitz hash and looks up the listener of its bucket.
#include "steering/steering.h"

namespace rss {
namespace {

BpfProgram Program(const ProgramInput& input) {
  bool with_ports = input.transport == Transport::kTcp || input.config.udp_4tuple;
  return ToeplitzProgram(input.config, with_ports, input.listeners);
}

}  // namespace

const SteeringMethod kBpfToeplitzMethod = {"bpf-toeplitz", PrepareReusePort, AllowDualStack,
                                           Program};

}  // namespace rss
