// Linux has no RSS configuration that user space shares: the network card's key and table belong
// to the driver (ethtool -x), and sockets are not steered by them.
#include "platform/platform.h"

namespace rss {

Result<RssConfig> ReadKernelRssConfig() {
  return MakeFailure(ENOTSUP, "", "Linux has no net.inet.rss");
}

}  // namespace rss
