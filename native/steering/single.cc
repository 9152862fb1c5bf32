// One listener, without any steering by the kernel.
#include "steering/steering.h"

namespace rss {
namespace {

Status Prepare(int, int) {
  return Nothing{};
}

bool DualStack() {
  return true;
}

}  // namespace

const SteeringMethod kSingleMethod = {"single", Prepare, DualStack, nullptr};

}  // namespace rss
