// Converts between Node-API values and the types of core. lib/ has validated all arguments.
#pragma once

#include <napi.h>

#include <memory>
#include <string>
#include <vector>

#include "core/address.h"
#include "core/flow.h"
#include "core/result.h"
#include "platform/posix/connect.h"
#include "platform/posix/shm.h"

namespace rss {

// { errno, syscall, option?, detail? }, which lib/errors.ts turns into an Error.
Napi::Value ToJs(Napi::Env env, const Failure& failure);
inline Napi::Value ToJs(Napi::Env env, Nothing) {
  return env.Undefined();
}
inline Napi::Value ToJs(Napi::Env env, bool value) {
  return Napi::Boolean::New(env, value);
}
inline Napi::Value ToJs(Napi::Env env, int number) {
  return Napi::Number::New(env, number);
}
inline Napi::Value ToJs(Napi::Env env, uint32_t number) {
  return Napi::Number::New(env, number);
}
Napi::Value ToJs(Napi::Env env, const std::vector<int>& numbers);
Napi::Value ToJs(Napi::Env env, const Flow& flow);
Napi::Value ToJs(Napi::Env env, const SocketAddress& address);  // as net.Socket.address() has it

// The value, or the failure. Values convert by one of the overloads in this namespace.
template <typename T>
Napi::Value ToJs(Napi::Env env, Result<T> result) {
  if (!result.ok()) return ToJs(env, result.failure);
  return ToJs(env, *std::move(result));
}

// { address, port, localAddress, localPort, bucket }: see NativeConnect of lib/native.ts
Result<Connecting> ConnectingFromJs(Transport transport, const Napi::Value& value);

// While a thread is being terminated, every property reads as an empty Value, on which
// node-addon-api would abort the process. These functions read it as 0, "", false or no bytes.
std::vector<int> IntsFromJs(Napi::Value value);
std::vector<std::string> TextsFromJs(Napi::Value value);
std::string TextFromJs(Napi::Value value);
int IntFromJs(Napi::Value value);
double NumberFromJs(Napi::Value value);
bool BoolFromJs(Napi::Value value);
// The segment with this id; ENOENT when this process has none.
Result<std::shared_ptr<Segment>> SegmentFromJs(Napi::Value id);

template <typename T>
struct Elements {
  T* data = nullptr;
  size_t length = 0;
};

template <typename T>
Elements<T> ElementsFromJs(Napi::Value value) {
  Elements<T> out;
  void* data = nullptr;
  if (value.IsTypedArray() && napi_get_typedarray_info(value.Env(), value, nullptr, &out.length,
                                                       &data, nullptr, nullptr) == napi_ok)
    out.data = static_cast<T*>(data);
  else
    out.length = 0;
  return out;
}

using NativeFunction = Napi::Value (*)(const Napi::CallbackInfo&);
void Export(Napi::Env env, Napi::Object exports, const char* name, NativeFunction function);

// Each topic registers its functions and classes.
void RegisterRss(Napi::Env env, Napi::Object exports);
void RegisterAffinity(Napi::Env env, Napi::Object exports);
void RegisterThreadUsage(Napi::Env env, Napi::Object exports);
void RegisterSocket(Napi::Env env, Napi::Object exports);
void RegisterRangeSender(Napi::Env env, Napi::Object exports);
void RegisterCards(Napi::Env env, Napi::Object exports);
void RegisterShm(Napi::Env env, Napi::Object exports);
void RegisterPrefetch(Napi::Env env, Napi::Object exports);
void RegisterBucketTable(Napi::Env env, Napi::Object exports);
void RegisterStreamEngine(Napi::Env env, Napi::Object exports);
void RegisterWorkerEngine(Napi::Env env, Napi::Object exports);
void RegisterContract(Napi::Env env, Napi::Object exports);

}  // namespace rss
