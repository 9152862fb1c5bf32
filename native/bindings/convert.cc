#include "bindings/convert.h"

#include "core/hash_type.h"

namespace rss {

Napi::Value ToJs(Napi::Env env, const Failure& failure) {
  Napi::Object out = Napi::Object::New(env);
  out.Set("errno", failure.error);
  out.Set("syscall", failure.syscall);
  if (failure.option != nullptr) out.Set("option", failure.option);
  if (!failure.detail.empty()) out.Set("detail", failure.detail);
  return out;
}

Napi::Value ToJs(Napi::Env env, const std::vector<int>& numbers) {
  Napi::Array out = Napi::Array::New(env, numbers.size());
  for (uint32_t i = 0; i < numbers.size(); ++i) out.Set(i, numbers[i]);
  return out;
}

Napi::Value ToJs(Napi::Env env, const Flow& flow) {
  Napi::Object out = Napi::Object::New(env);
  out.Set("flowId", flow.flow_id);
  out.Set("hashType", HashTypeName(flow.hash_type));
  out.Set("bucket", flow.bucket);
  out.Set("source", flow.from_kernel ? "kernel" : "software");
  return out;
}

Napi::Value ToJs(Napi::Env env, const SocketAddress& address) {
  Napi::Object out = Napi::Object::New(env);
  out.Set("address", address.Host());
  out.Set("port", address.port());
  out.Set("family", address.family() == AF_INET ? "IPv4" : "IPv6");
  return out;
}

std::vector<int> IntsFromJs(Napi::Value value) {
  std::vector<int> out;
  if (!value.IsArray()) return out;
  Napi::Array array = value.As<Napi::Array>();
  for (uint32_t i = 0; i < array.Length(); ++i) out.push_back(IntFromJs(array.Get(i)));
  return out;
}

std::vector<std::string> TextsFromJs(Napi::Value value) {
  std::vector<std::string> out;
  if (!value.IsArray()) return out;
  Napi::Array array = value.As<Napi::Array>();
  for (uint32_t i = 0; i < array.Length(); ++i) out.push_back(TextFromJs(array.Get(i)));
  return out;
}

std::string TextFromJs(Napi::Value value) {
  return value.IsString() ? value.As<Napi::String>().Utf8Value() : std::string();
}

bool BoolFromJs(Napi::Value value) {
  return value.IsBoolean() && value.As<Napi::Boolean>().Value();
}

int IntFromJs(Napi::Value value) {
  return value.IsNumber() ? value.As<Napi::Number>().Int32Value() : 0;
}

double NumberFromJs(Napi::Value value) {
  return value.IsNumber() ? value.As<Napi::Number>().DoubleValue() : 0;
}

Result<Connecting> ConnectingFromJs(Transport transport, const Napi::Value& value) {
  auto object = value.As<Napi::Object>();
  auto address = [&](const char* host, const char* port) {
    return ParseAddress(TextFromJs(object.Get(host)),
                        static_cast<uint16_t>(IntFromJs(object.Get(port))));
  };
  Connecting how;
  how.transport = transport;
  auto peer = address("address", "port");
  if (!peer.ok()) return peer.failure;
  how.peer = *peer;
  if (object.Get("localAddress").IsString()) {
    auto local = address("localAddress", "localPort");
    if (!local.ok()) return local.failure;
    how.local = *local;
  }
  how.bucket = IntFromJs(object.Get("bucket"));
  return how;
}

Result<std::shared_ptr<Segment>> SegmentFromJs(Napi::Value id) {
  auto segment = Segment::Find(static_cast<uint32_t>(IntFromJs(id)));
  if (segment == nullptr) return MakeFailure(ENOENT, "open", "no such segment in this process");
  return segment;
}

void Export(Napi::Env env, Napi::Object exports, const char* name, NativeFunction function) {
  exports.Set(name, Napi::Function::New(env, function, name));
}

}  // namespace rss
