// What a socket says about its connection, for lists of connections.
#pragma once

#include <napi.h>

#include "core/flow.h"
#include "platform/platform.h"

namespace rss {

// { peer?, local?, flow?, packetCpu, bytesIn, bytesOut }: see ConnectionFacts of lib/native.ts.
// `counted`: its bytes where the kernel does not count them.
Napi::Object FactsOf(Napi::Env env, int fd, const FlowClassifier& classifier,
                     const ConnectionBytes& counted);

}  // namespace rss
