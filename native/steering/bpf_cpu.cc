// Linux: a BPF program looks up the listener of the CPU that processes the packet.
#include "steering/steering.h"

namespace rss {
namespace {

BpfProgram Program(const ProgramInput& input) {
  return CpuProgram(input.listeners);
}

}  // namespace

const SteeringMethod kBpfCpuMethod = {"bpf-cpu", PrepareReusePort, AllowDualStack, Program};

}  // namespace rss
