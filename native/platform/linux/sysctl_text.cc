// Linux describes network cards in /proc/interrupts and /sys/class/net, not by sysctl(3).
#include "platform/platform.h"

namespace rss {

Result<std::vector<SystemValue>> ReadSystemValues(const std::string& name) {
  return MakeFailure(ENOTSUP, "sysctl", name + ": Linux describes no devices by sysctl");
}

}  // namespace rss
