// Accepts connections.
#pragma once

#include "platform/platform.h"

namespace rss {

// accept4(2) with both addresses, non-blocking and close-on-exec. Returns 0 or -errno. Leaves the
// flow to the caller.
int AcceptConnection(int listener, Connection* out);

}  // namespace rss
