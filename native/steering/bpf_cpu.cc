// Linux: a BPF program looks up the listener of the CPU that processes the packet.
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
  return CpuProgram(input.listeners);
}

}  // namespace

const SteeringMethod kBpfCpuMethod = {"bpf-cpu", Prepare, DualStack, Program};

}  // namespace rss
