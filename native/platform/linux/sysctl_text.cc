// What FreeBSD says of cards by sysctl(3) stands in /proc/interrupts and /sys/class/net here.
#include "platform/platform.h"

namespace rss {

Result<std::vector<SystemValue>> ReadSystemValues(const std::string& name) {
  return MakeFailure(ENOTSUP, "sysctl", name + ": Linux describes no devices by sysctl");
}

}  // namespace rss
