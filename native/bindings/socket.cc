// Socket options, flows and listeners.
#include "bindings/convert.h"
#include "bindings/descriptor.h"
#include "bindings/rss_config.h"
#include "platform/platform.h"
#include "platform/posix/inspect.h"
#include "platform/posix/listener.h"
#include "platform/posix/stream.h"

namespace rss {

Napi::Value ToJs(Napi::Env env, OpenedListener listener) {
  Napi::Object out = Napi::Object::New(env);
  out.Set("descriptor", ToJs(env, std::move(listener.fd)));
  out.Set("host", listener.address.Host());
  out.Set("port", listener.address.port());
  out.Set("family", listener.address.family() == AF_INET ? 4 : 6);
  Napi::Array short_buffers = Napi::Array::New(env);
  for (const ShortBuffer& buffer : listener.short_buffers) {
    Napi::Object one = Napi::Object::New(env);
    one.Set("buffer", buffer.which == Buffer::kReceive ? "receive" : "send");
    one.Set("wanted", buffer.wanted);
    one.Set("granted", buffer.granted);
    short_buffers.Set(short_buffers.Length(), one);
  }
  out.Set("shortBuffers", short_buffers);
  return out;
}

Napi::Value ToJs(Napi::Env env, std::vector<OpenedListener> group) {
  Napi::Array out = Napi::Array::New(env, group.size());
  for (uint32_t i = 0; i < group.size(); ++i) out.Set(i, ToJs(env, std::move(group[i])));
  return out;
}

Napi::Value ToJs(Napi::Env env, const SocketKind& kind) {
  Napi::Object out = Napi::Object::New(env);
  out.Set("protocol", kind.transport == Transport::kTcp ? "tcp" : "udp");
  out.Set("family", kind.family == AF_INET ? 4 : 6);
  out.Set("listening", kind.listening);
  out.Set("host", kind.address.Host());
  out.Set("port", kind.address.port());
  return out;
}

namespace {

Steering SteeringFromJs(Napi::Value number) {
  return static_cast<Steering>(IntFromJs(number));
}

Transport TransportFromJs(Napi::Object options) {
  return TextFromJs(options.Get("protocol")) == "udp" ? Transport::kUdp : Transport::kTcp;
}

BufferRequest BuffersFromJs(Napi::Object options) {
  BufferRequest buffers;
  buffers.exact.receive = IntFromJs(options.Get("receiveBuffer"));
  buffers.exact.send = IntFromJs(options.Get("sendBuffer"));
  buffers.datagram_size = IntFromJs(options.Get("datagramSize"));
  return buffers;
}

Result<ListenerOptions> OptionsFromJs(Napi::Object object) {
  ListenerOptions options;
  options.transport = TransportFromJs(object);
  auto address = ParseAddress(TextFromJs(object.Get("host")),
                              static_cast<uint16_t>(IntFromJs(object.Get("port"))));
  if (!address.ok()) return address.failure;
  options.address = *address;
  options.ipv6_only = BoolFromJs(object.Get("ipv6Only"));
  options.backlog = IntFromJs(object.Get("backlog"));
  options.unshared = BoolFromJs(object.Get("unshared"));
  options.flow_sockets = BoolFromJs(object.Get("flowSockets"));
  options.bind_any = BoolFromJs(object.Get("bindAny"));
  options.buffers = BuffersFromJs(object);
  return options;
}

// openGroup(options, steering, buckets, domains): see lib/native.ts
Napi::Value Open(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  auto options = OptionsFromJs(info[0].As<Napi::Object>());
  if (!options.ok()) return ToJs(env, options.failure);
  std::vector<int> domains = IntsFromJs(info[3]);
  std::vector<GroupMember> members;
  for (int bucket : IntsFromJs(info[2])) {
    size_t i = members.size();
    members.push_back({bucket, i < domains.size() ? domains[i] : -1});
  }
  return ToJs(env, OpenGroup(*options, SteeringFromJs(info[1]), members));
}

// adoptListener(fd, options): see lib/native.ts
Napi::Value AdoptInherited(const Napi::CallbackInfo& info) {
  Napi::Object options = info[1].As<Napi::Object>();
  return ToJs(info.Env(),
              AdoptListener(IntFromJs(info[0]), TransportFromJs(options), BuffersFromJs(options)));
}

// dualStackGroups(steering)
Napi::Value DualStack(const Napi::CallbackInfo& info) {
  return ToJs(info.Env(), MethodOf(SteeringFromJs(info[0])).dual_stack());
}

Napi::Value SetSocketOption(const Napi::CallbackInfo& info) {
  return ToJs(info.Env(),
              SetOption(IntFromJs(info[0]), static_cast<SocketOption>(IntFromJs(info[1])),
                        IntFromJs(info[2])));
}

Napi::Value GetSocketOption(const Napi::CallbackInfo& info) {
  return ToJs(info.Env(),
              GetOption(IntFromJs(info[0]), static_cast<SocketOption>(IntFromJs(info[1]))));
}

// socketFlow(fd, config): the flow of a connected socket
Napi::Value SocketFlow(const Napi::CallbackInfo& info) {
  FlowClassifier classifier(RssConfigFromJs(info[1].As<Napi::Object>()));
  return ToJs(info.Env(), ConnectedFlow(IntFromJs(info[0]), classifier));
}

Napi::Value Inspect(const Napi::CallbackInfo& info) {
  return ToJs(info.Env(), InspectIpSocket(IntFromJs(info[0])));
}

// socketState(fd, listening): see lib/native.ts
Napi::Value SocketState(const Napi::CallbackInfo& info) {
  int fd = IntFromJs(info[0]);
  auto dropped = DroppedBySocket(fd);
  auto waiting = BoolFromJs(info[1]) ? AcceptQueueLength(fd) : Result<int>(-1);
  Napi::Object out = Napi::Object::New(info.Env());
  out.Set("dropped", dropped.ok() ? static_cast<double>(*dropped) : -1.0);
  out.Set("waiting", waiting.ok() ? *waiting : -1);
  out.Set("receiveBuffer", BufferSize(fd, Buffer::kReceive));
  out.Set("sendBuffer", BufferSize(fd, Buffer::kSend));
  return out;
}

// hostDrops(): { datagrams, connections }
Napi::Value GetHostDrops(const Napi::CallbackInfo& info) {
  auto drops = DroppedByHost();
  if (!drops.ok()) return ToJs(info.Env(), drops.failure);
  Napi::Object out = Napi::Object::New(info.Env());
  out.Set("datagrams", drops->datagrams);
  out.Set("connections", drops->connections);
  return out;
}

// listenUnix(path, mode, backlog): a descriptor
Napi::Value OpenUnix(const Napi::CallbackInfo& info) {
  return ToJs(info.Env(), ListenUnix(TextFromJs(info[0]), IntFromJs(info[1]), IntFromJs(info[2])));
}

// adoptUnix(fd): a descriptor
Napi::Value AdoptInheritedUnix(const Napi::CallbackInfo& info) {
  return ToJs(info.Env(), AdoptUnix(IntFromJs(info[0])));
}

// adoptDescriptor(fd): takes ownership of an inherited descriptor
Napi::Value Adopt(const Napi::CallbackInfo& info) {
  return ToJs(info.Env(), AdoptDescriptor(IntFromJs(info[0])));
}

// attachProgram(steering, fd, config, udp, listeners): see lib/native.ts
Napi::Value Attach(const Napi::CallbackInfo& info) {
  RssConfig config = RssConfigFromJs(info[2].As<Napi::Object>());
  std::vector<int> listeners = IntsFromJs(info[4]);
  Transport transport = BoolFromJs(info[3]) ? Transport::kUdp : Transport::kTcp;
  return ToJs(info.Env(), AttachProgram(SteeringFromJs(info[0]), IntFromJs(info[1]),
                                        {config, transport, listeners}));
}

}  // namespace

void RegisterSocket(Napi::Env env, Napi::Object exports) {
  RegisterDescriptor(env);
  Export(env, exports, "openGroup", Open);
  Export(env, exports, "adoptListener", AdoptInherited);
  Export(env, exports, "listenUnix", OpenUnix);
  Export(env, exports, "adoptUnix", AdoptInheritedUnix);
  Export(env, exports, "adoptDescriptor", Adopt);
  Export(env, exports, "dualStackGroups", DualStack);
  Export(env, exports, "setSocketOption", SetSocketOption);
  Export(env, exports, "getSocketOption", GetSocketOption);
  Export(env, exports, "socketFlow", SocketFlow);
  Export(env, exports, "inspectSocket", Inspect);
  Export(env, exports, "socketState", SocketState);
  Export(env, exports, "hostDrops", GetHostDrops);
  Export(env, exports, "attachProgram", Attach);
}

}  // namespace rss
