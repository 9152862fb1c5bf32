// Linux has no RSS configuration for programs. The network card's key and table belong to the
// driver (ethtool -x) and do not steer sockets.
#include "platform/platform.h"

namespace rss {

Result<RssConfig> ReadKernelRssConfig() {
  return MakeFailure(ENOTSUP, "", "Linux has no net.inet.rss");
}

}  // namespace rss
