// The kernel's own hash spreads flows over the group: SO_REUSEPORT_LB, Linux SO_REUSEPORT.
#include "steering/steering.h"

namespace rss {
namespace {

Status Prepare(int fd, int) {
  return SetOption(fd, BalancingOption(), 1);
}

bool DualStack() {
  return BalancesDualStack();
}

}  // namespace

const SteeringMethod kReusePortLbMethod = {"reuseport-lb", Prepare, DualStack, nullptr};

}  // namespace rss
