// What a socket says about its connection, for lists of connections.
#pragma once

#include <napi.h>

#include "core/flow.h"

namespace rss {

// { peer?, local?, flow?, packetCpu, bytesIn, bytesOut }: see ConnectionFacts of lib/native.ts
Napi::Object FactsOf(Napi::Env env, int fd, const FlowClassifier& classifier);

}  // namespace rss
