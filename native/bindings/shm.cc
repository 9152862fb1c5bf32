// Shared memory segments, waiting on their words, and the lock made of one.
#include "platform/posix/shm.h"
#include "bindings/convert.h"
#include "core/owner_lock.h"

namespace rss {
namespace {

// The ArrayBuffer keeps the mapping, so that views stay valid for as long as JavaScript has them.
Napi::Value ToJs(Napi::Env env, std::shared_ptr<Segment> segment) {
  auto* holder = new std::shared_ptr<Segment>(segment);
  Napi::ArrayBuffer buffer = Napi::ArrayBuffer::New(
      env, segment->data(), segment->size(),
      [](Napi::Env, void*, std::shared_ptr<Segment>* h) { delete h; }, holder);
  Napi::Object out = Napi::Object::New(env);
  if (buffer.IsEmpty()) {  // the thread is being terminated
    delete holder;
    return out;
  }
  out.Set("id", segment->id());
  out.Set("buffer", buffer);
  return out;
}

Napi::Value Create(const Napi::CallbackInfo& info) {
  auto segment = Segment::Create(static_cast<size_t>(info[0].As<Napi::Number>().Int64Value()));
  return segment.ok() ? ToJs(info.Env(), segment.value) : rss::ToJs(info.Env(), segment.failure);
}

Napi::Value Open(const Napi::CallbackInfo& info) {
  auto segment = Segment::Find(info[0].As<Napi::Number>().Uint32Value());
  if (segment == nullptr)
    return rss::ToJs(info.Env(), MakeFailure(ENOENT, "open", "no such segment in this process"));
  return ToJs(info.Env(), segment);
}

Napi::Value Detach(const Napi::CallbackInfo& info) {
  auto buffer = info[0].As<Napi::ArrayBuffer>();
  if (!buffer.IsDetached()) buffer.Detach();
  return info.Env().Undefined();
}

uint32_t* WordOf(Napi::Value words, Napi::Value index) {
  auto array = words.As<Napi::Int32Array>();
  return reinterpret_cast<uint32_t*>(array.Data()) + index.As<Napi::Number>().Uint32Value();
}

// waitOnWord(int32array, index, expected, timeoutMs)
Napi::Value Wait(const Napi::CallbackInfo& info) {
  int r = WaitOnAddress(WordOf(info[0], info[1]), static_cast<uint32_t>(IntFromJs(info[2])),
                        IntFromJs(info[3]));
  return Napi::Number::New(info.Env(), r);
}

// wakeWord(int32array, index, count)
Napi::Value WakeWord(const Napi::CallbackInfo& info) {
  return Napi::Number::New(info.Env(), WakeAddress(WordOf(info[0], info[1]), IntFromJs(info[2])));
}

OwnerLock LockOf(const Napi::CallbackInfo& info) {
  return OwnerLock(WordOf(info[0], info[1]), WaitOnAddress, WakeAddress);
}

// acquireLock(int32array, index, token)
Napi::Value AcquireLock(const Napi::CallbackInfo& info) {
  LockOf(info).Acquire(static_cast<uint32_t>(IntFromJs(info[2])));
  return info.Env().Undefined();
}

// breakLock(int32array, index)
Napi::Value BreakLock(const Napi::CallbackInfo& info) {
  LockOf(info).Break();
  return info.Env().Undefined();
}

}  // namespace

void RegisterShm(Napi::Env env, Napi::Object exports) {
  Export(env, exports, "createSegment", Create);
  Export(env, exports, "openSegment", Open);
  Export(env, exports, "detachBuffer", Detach);
  Export(env, exports, "waitOnWord", Wait);
  Export(env, exports, "wakeWord", WakeWord);
  Export(env, exports, "acquireLock", AcquireLock);
  Export(env, exports, "breakLock", BreakLock);
}

}  // namespace rss
