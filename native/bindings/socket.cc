// Socket options, flows and listeners.
#include "bindings/convert.h"
#include "bindings/rss_config.h"
#include "platform/platform.h"
#include "platform/posix/accept.h"
#include "platform/posix/listener.h"
#include "platform/posix/stream.h"

namespace rss {
namespace {

// An owned descriptor in JavaScript: closed by close(), by the garbage collector or with the
// environment, unless release() has given the number away.
class Descriptor : public Napi::ObjectWrap<Descriptor> {
 public:
  static Napi::Function Define(Napi::Env env) {
    return DefineClass(env, "Descriptor",
                       {InstanceMethod<&Descriptor::Number>("number"),
                        InstanceMethod<&Descriptor::Release>("release"),
                        InstanceMethod<&Descriptor::Close>("close")});
  }
  explicit Descriptor(const Napi::CallbackInfo& info) : ObjectWrap(info) {}
  void Own(UniqueFd fd) { fd_ = std::move(fd); }

 private:
  Napi::Value Number(const Napi::CallbackInfo& info) {
    return Napi::Number::New(info.Env(), fd_.get());
  }
  Napi::Value Release(const Napi::CallbackInfo& info) {
    return Napi::Number::New(info.Env(), fd_.release());
  }
  Napi::Value Close(const Napi::CallbackInfo& info) {
    fd_.reset();
    return info.Env().Undefined();
  }
  UniqueFd fd_;
};

Napi::Value ToJs(Napi::Env env, UniqueFd fd) {
  // The constructor is not exported, so nobody can wrap a number that is not theirs.
  auto* constructor = env.GetInstanceData<Napi::FunctionReference>();
  Napi::Object descriptor = constructor->New({});
  Descriptor* owner = descriptor.IsEmpty() ? nullptr : Descriptor::Unwrap(descriptor);
  if (owner == nullptr) return env.Undefined();  // the thread is being terminated
  owner->Own(std::move(fd));
  return descriptor;
}

Napi::Object ToJs(Napi::Env env, OpenedListener listener) {
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

Result<ListenerOptions> OptionsFromJs(Napi::Object object) {
  ListenerOptions options;
  options.transport =
      TextFromJs(object.Get("protocol")) == "udp" ? Transport::kUdp : Transport::kTcp;
  auto address = ParseAddress(TextFromJs(object.Get("host")),
                              static_cast<uint16_t>(IntFromJs(object.Get("port"))));
  if (!address.ok()) return address.failure;
  options.address = address.value;
  options.ipv6_only = BoolFromJs(object.Get("ipv6Only"));
  options.backlog = IntFromJs(object.Get("backlog"));
  options.unshared = BoolFromJs(object.Get("unshared"));
  options.bind_any = BoolFromJs(object.Get("bindAny"));
  options.buffers.exact.receive = IntFromJs(object.Get("receiveBuffer"));
  options.buffers.exact.send = IntFromJs(object.Get("sendBuffer"));
  options.buffers.datagram_size = IntFromJs(object.Get("datagramSize"));
  return options;
}

// openGroup(options, steering, buckets, domains): a listener for each bucket; no domains, or as
// many
Napi::Value Open(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  auto options = OptionsFromJs(info[0].As<Napi::Object>());
  if (!options.ok()) return rss::ToJs(env, options.failure);
  std::vector<int> domains = IntsFromJs(info[3]);
  std::vector<GroupMember> members;
  for (int bucket : IntsFromJs(info[2])) {
    size_t i = members.size();
    members.push_back({bucket, i < domains.size() ? domains[i] : -1});
  }
  auto group = OpenGroup(options.value, static_cast<Steering>(IntFromJs(info[1])), members);
  if (!group.ok()) return rss::ToJs(env, group.failure);
  Napi::Array out = Napi::Array::New(env, group.value.size());
  for (uint32_t i = 0; i < group.value.size(); ++i)
    out.Set(i, ToJs(env, std::move(group.value[i])));
  return out;
}

// dualStackGroups(steering)
Napi::Value DualStack(const Napi::CallbackInfo& info) {
  return Napi::Boolean::New(info.Env(), DualStackGroups(static_cast<Steering>(IntFromJs(info[0]))));
}

Napi::Value SetSocketOption(const Napi::CallbackInfo& info) {
  return StatusToJs(info.Env(),
                    SetOption(IntFromJs(info[0]), static_cast<SocketOption>(IntFromJs(info[1])),
                              IntFromJs(info[2])));
}

Napi::Value GetSocketOption(const Napi::CallbackInfo& info) {
  auto value = GetOption(IntFromJs(info[0]), static_cast<SocketOption>(IntFromJs(info[1])));
  return value.ok() ? Napi::Value(Napi::Number::New(info.Env(), value.value))
                    : rss::ToJs(info.Env(), value.failure);
}

// socketFlow(fd, config): where a connected socket's flow belongs
Napi::Value SocketFlow(const Napi::CallbackInfo& info) {
  auto flow = ConnectedFlow(IntFromJs(info[0]),
                            FlowClassifier(RssConfigFromJs(info[1].As<Napi::Object>())));
  return flow.ok() ? Napi::Value(rss::ToJs(info.Env(), flow.value))
                   : rss::ToJs(info.Env(), flow.failure);
}

Napi::Value Inspect(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  auto kind = InspectIpSocket(IntFromJs(info[0]));
  if (!kind.ok()) return rss::ToJs(env, kind.failure);
  Napi::Object out = Napi::Object::New(env);
  out.Set("protocol", kind.value.transport == Transport::kTcp ? "tcp" : "udp");
  out.Set("family", kind.value.family == AF_INET ? 4 : 6);
  out.Set("listening", kind.value.listening);
  out.Set("host", kind.value.address.Host());
  out.Set("port", kind.value.address.port());
  return out;
}

// listenUnix(path, mode, backlog): a descriptor
Napi::Value OpenUnix(const Napi::CallbackInfo& info) {
  auto fd = ListenUnix(TextFromJs(info[0]), IntFromJs(info[1]), IntFromJs(info[2]));
  if (!fd.ok()) return rss::ToJs(info.Env(), fd.failure);
  return ToJs(info.Env(), std::move(fd.value));
}

// adoptDescriptor(fd): a number that the process was started with becomes a descriptor
Napi::Value Adopt(const Napi::CallbackInfo& info) {
  auto fd = AdoptDescriptor(IntFromJs(info[0]));
  if (!fd.ok()) return rss::ToJs(info.Env(), fd.failure);
  return ToJs(info.Env(), std::move(fd.value));
}

// attachToeplitz(fd, config, udp, bucketToListener)
Napi::Value AttachToeplitz(const Napi::CallbackInfo& info) {
  RssConfig config = RssConfigFromJs(info[1].As<Napi::Object>());
  bool with_ports = !BoolFromJs(info[2]) || config.udp_4tuple;
  return StatusToJs(
      info.Env(), AttachSteeringProgram(IntFromJs(info[0]),
                                        ToeplitzProgram(config, with_ports, IntsFromJs(info[3]))));
}

// attachCpu(fd, cpuToListener)
Napi::Value AttachCpu(const Napi::CallbackInfo& info) {
  return StatusToJs(info.Env(),
                    AttachSteeringProgram(IntFromJs(info[0]), CpuProgram(IntsFromJs(info[1]))));
}

}  // namespace

void RegisterSocket(Napi::Env env, Napi::Object exports) {
  env.SetInstanceData(new Napi::FunctionReference(Napi::Persistent(Descriptor::Define(env))));
  Export(env, exports, "openGroup", Open);
  Export(env, exports, "listenUnix", OpenUnix);
  Export(env, exports, "adoptDescriptor", Adopt);
  Export(env, exports, "dualStackGroups", DualStack);
  Export(env, exports, "setSocketOption", SetSocketOption);
  Export(env, exports, "getSocketOption", GetSocketOption);
  Export(env, exports, "socketFlow", SocketFlow);
  Export(env, exports, "inspectSocket", Inspect);
  Export(env, exports, "attachToeplitz", AttachToeplitz);
  Export(env, exports, "attachCpu", AttachCpu);
}

}  // namespace rss
