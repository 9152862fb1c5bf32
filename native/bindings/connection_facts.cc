#include "bindings/connection_facts.h"

#include "bindings/convert.h"
#include "platform/posix/inspect.h"
#include "platform/posix/stream.h"

namespace rss {

Napi::Object FactsOf(Napi::Env env, int fd, const FlowClassifier& classifier,
                     const ConnectionBytes& counted) {
  Napi::Object out = Napi::Object::New(env);
  SocketAddress local, peer;
  auto flow = ConnectedFlow(fd, classifier);
  if (flow.ok() && ConnectionAddresses(fd, &local, &peer).ok()) {
    out.Set("peer", ToJs(env, peer));
    out.Set("local", ToJs(env, local));
    out.Set("flow", ToJs(env, *flow));
  }
  out.Set("packetCpu", IncomingCpu(fd));
  auto bytes = BytesOfConnection(fd);
  out.Set("bytesIn", bytes.ok() ? bytes->received : counted.received);
  out.Set("bytesOut", bytes.ok() ? bytes->sent : counted.sent);
  return out;
}

}  // namespace rss
