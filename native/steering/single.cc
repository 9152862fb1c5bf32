// One listener, without any steering by the kernel.
#include "steering/steering.h"

namespace rss {
namespace {

Status Prepare(int, int) {
  return Nothing{};
}

}  // namespace

const SteeringMethod kSingleMethod = {"single", Prepare, AllowDualStack, nullptr};

}  // namespace rss
