// Linux: a BPF program computes the Toeplitz hash and looks up the listener of its bucket.
#include "steering/steering.h"

namespace rss {
namespace {

Status Prepare(int fd, int) {
  return SetOption(fd, SocketOption::kReusePort, 1);
}

bool DualStack() {
  return true;
}

BpfProgram Program(const ProgramInput& input) {
  return ToeplitzProgram(input.config, input.config.with_ports(input.transport), input.listeners);
}

}  // namespace

const SteeringMethod kBpfToeplitzMethod = {"bpf-toeplitz", Prepare, DualStack, Program};

}  // namespace rss
