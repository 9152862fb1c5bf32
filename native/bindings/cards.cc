// Network cards: system values, interfaces, hashes, and flows as the kernel reports them.
#include <string.h>
#include <sys/socket.h>

#include "bindings/convert.h"
#include "core/bucket_table.h"
#include "platform/platform.h"
#include "platform/posix/accept.h"
#include "platform/posix/inspect.h"

namespace rss {
namespace {

// systemValues(name): [name, text] of each
Napi::Value SystemValues(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  auto values = ReadSystemValues(TextFromJs(info[0]));
  if (!values.ok()) return ToJs(env, values.failure);
  Napi::Array out = Napi::Array::New(env, values.value.size());
  for (size_t i = 0; i < values.value.size(); ++i) {
    Napi::Array pair = Napi::Array::New(env, 2);
    pair.Set(0u, values.value[i].name);
    pair.Set(1u, values.value[i].text);
    out.Set(static_cast<uint32_t>(i), pair);
  }
  return out;
}

Napi::Array Texts(Napi::Env env, const std::vector<std::string>& texts) {
  Napi::Array out = Napi::Array::New(env, texts.size());
  for (size_t i = 0; i < texts.size(); ++i) out.Set(static_cast<uint32_t>(i), texts[i]);
  return out;
}

// networkInterfaces(): see lib/native.ts
Napi::Value NetworkInterfaces(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  auto interfaces = ReadInterfaces();
  if (!interfaces.ok()) return ToJs(env, interfaces.failure);
  Napi::Array out = Napi::Array::New(env);
  for (const NetworkInterface& one : interfaces.value) {
    std::vector<std::string> addresses;
    for (const SocketAddress& address : one.addresses) addresses.push_back(address.Host());
    Napi::Object object = Napi::Object::New(env);
    object.Set("name", one.name);
    object.Set("device", one.device);
    object.Set("kind", one.kind);
    object.Set("up", one.up);
    object.Set("addresses", Texts(env, addresses));
    object.Set("below", Texts(env, one.below));
    out.Set(out.Length(), object);
  }
  return out;
}

// cardHash(interface): see lib/native.ts
Napi::Value CardHashOf(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  auto hash = ReadCardHash(TextFromJs(info[0]));
  if (!hash.ok()) return ToJs(env, hash.failure);
  Napi::Object out = Napi::Object::New(env);
  out.Set("key", Napi::Buffer<uint8_t>::Copy(env, hash->key.data(), hash->key.size()));
  out.Set("table", ToJs(env, hash->table));
  out.Set("queues", hash->queues);
  return out;
}

// cardCounters(interface): [name, value] of each
Napi::Value CardCounters(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  auto counters = ReadCardCounters(TextFromJs(info[0]));
  if (!counters.ok()) return ToJs(env, counters.failure);
  Napi::Array out = Napi::Array::New(env, counters->size());
  for (size_t i = 0; i < counters->size(); ++i) {
    Napi::Array pair = Napi::Array::New(env, 2);
    pair.Set(0u, (*counters)[i].name);
    pair.Set(1u, (*counters)[i].value);
    out.Set(static_cast<uint32_t>(i), pair);
  }
  return out;
}

// queueCounters(interface): see lib/native.ts
Napi::Value QueueCounters(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  auto counters = ReadQueueCounters(TextFromJs(info[0]));
  if (!counters.ok()) return ToJs(env, counters.failure);
  Napi::Array out = Napi::Array::New(env);
  for (const QueueCounter& one : *counters) {
    Napi::Object object = Napi::Object::New(env);
    object.Set("receive", one.receive);
    object.Set("queue", one.queue);
    object.Set("packets", one.packets);
    out.Set(out.Length(), object);
  }
  return out;
}

// hasReceiveHash(local, peer, peerPort, key)
Napi::Value HasHash(const Napi::CallbackInfo& info) {
  auto local = ParseAddress(TextFromJs(info[0]), 0);
  auto peer = ParseAddress(TextFromJs(info[1]), static_cast<uint16_t>(IntFromJs(info[2])));
  auto bytes = ElementsFromJs<uint8_t>(info[3]);
  RssKey key;
  if (!local.ok()) return ToJs(info.Env(), local.failure);
  if (!peer.ok()) return ToJs(info.Env(), peer.failure);
  if (bytes.length < key.size()) return ToJs(info.Env(), MakeFailure(EINVAL, "setsockopt"));
  memcpy(key.data(), bytes.data, key.size());
  auto has = HasReceiveHash(*local, *peer, key);
  if (!has.ok()) return ToJs(info.Env(), has.failure);
  return Napi::Boolean::New(info.Env(), *has);
}

Napi::Value FlowToJs(Napi::Env env, const KernelFlow& flow, const SocketAddress& peer,
                     const SocketAddress& local) {
  Napi::Object out = Napi::Object::New(env);
  out.Set("peer", ToJs(env, peer));
  out.Set("local", ToJs(env, local));
  out.Set("flowId", flow.flow_id);
  out.Set("hashType", flow.hash_type);
  return out;
}

// acceptFlow(fd): accepts a connection, reads its flow and closes it
Napi::Value AcceptFlow(const Napi::CallbackInfo& info) {
  Connection connection;
  int error = AcceptConnection(IntFromJs(info[0]), &connection);
  if (error != 0) return ToJs(info.Env(), MakeFailure(-error, "accept"));
  auto flow = GetKernelFlow(connection.fd.get());
  if (!flow.ok()) return ToJs(info.Env(), flow.failure);
  return FlowToJs(info.Env(), flow.value, connection.peer, connection.local);
}

// receiveFlow(fd): receives a datagram and reads its flow
Napi::Value ReceiveFlow(const Napi::CallbackInfo& info) {
  int fd = IntFromJs(info[0]);
  Status enabled = EnableDatagramInfo(fd, false, true);
  if (!enabled.ok()) return ToJs(info.Env(), enabled.failure);
  auto kind = InspectIpSocket(fd);
  if (!kind.ok()) return ToJs(info.Env(), kind.failure);
  SocketAddress from, local = kind.value.address;
  uint8_t payload;
  alignas(cmsghdr) uint8_t control[kControlSize];
  iovec data = {&payload, sizeof payload};
  msghdr message = {};
  message.msg_name = &from.sa;
  message.msg_namelen = sizeof from.v6;
  message.msg_iov = &data;
  message.msg_iovlen = 1;
  message.msg_control = control;
  message.msg_controllen = sizeof control;
  if (recvmsg(fd, &message, MSG_DONTWAIT) < 0) return ToJs(info.Env(), LastError("recvmsg"));
  DatagramInfo found = ParseControl(message);
  if (found.has_destination) {
    uint16_t port = local.port();
    local = found.destination;
    local.set_port(port);
  }
  return FlowToJs(info.Env(), found.flow, from.Unmapped(), local.Unmapped());
}

}  // namespace

void RegisterCards(Napi::Env env, Napi::Object exports) {
  Export(env, exports, "systemValues", SystemValues);
  Export(env, exports, "networkInterfaces", NetworkInterfaces);
  Export(env, exports, "cardHash", CardHashOf);
  Export(env, exports, "cardCounters", CardCounters);
  Export(env, exports, "queueCounters", QueueCounters);
  Export(env, exports, "hasReceiveHash", HasHash);
  Export(env, exports, "acceptFlow", AcceptFlow);
  Export(env, exports, "receiveFlow", ReceiveFlow);
}

}  // namespace rss
