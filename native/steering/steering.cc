#include "steering/steering.h"

namespace rss {

Status PrepareReusePort(int fd, int) {
  return SetOption(fd, SocketOption::kReusePort, 1);
}

bool AllowDualStack() {
  return true;
}

const SteeringMethod& MethodOf(Steering steering) {
  static const SteeringMethod* const methods[kSteerings] = {
      &kListenBucketMethod, &kReusePortLbMethod, &kBpfToeplitzMethod, &kBpfCpuMethod,
      &kSingleMethod};
  auto i = static_cast<size_t>(steering);
  return *methods[i < kSteerings ? i : static_cast<size_t>(Steering::kSingle)];
}

Status AttachProgram(Steering steering, int fd, const ProgramInput& input) {
  const SteeringMethod& method = MethodOf(steering);
  if (method.program == nullptr)
    return MakeFailure(ENOTSUP, "setsockopt", std::string(method.name) + " has no program");
  return AttachReusePortProgram(fd, method.program(input));
}

}  // namespace rss
