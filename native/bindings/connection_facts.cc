#include "bindings/connection_facts.h"

#include "bindings/convert.h"
#include "platform/posix/inspect.h"
#include "platform/posix/stream.h"

namespace rss {

Napi::Object FactsOf(Napi::Env env, int fd, const FlowClassifier& classifier) {
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
  out.Set("bytesIn", bytes.ok() ? bytes->received : -1);
  out.Set("bytesOut", bytes.ok() ? bytes->sent : -1);
  return out;
}

}  // namespace rss
