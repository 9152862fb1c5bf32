// kqueue(2) looks at a socket once per round anyway.
#include "platform/platform.h"

namespace rss {

bool WatchEdges(int, int) {
  return false;
}

}  // namespace rss
