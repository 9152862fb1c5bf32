// Shared memory segments, waiting on their words, and a lock in one word.
#include "platform/posix/shm.h"

#include <unistd.h>

#include <chrono>

#include "bindings/convert.h"
#include "core/lock_waits.h"
#include "core/owner_lock.h"
#include "platform/posix/inspect.h"

namespace rss {
namespace {

// The ArrayBuffer shares the ownership of the mapping, so its views stay valid.
Napi::Value Map(Napi::Env env, const std::shared_ptr<Segment>& segment) {
  auto* holder = new std::shared_ptr<Segment>(segment);
  Napi::ArrayBuffer buffer = Napi::ArrayBuffer::New(
      env, segment->data(), segment->size(),
      [](Napi::Env, void*, std::shared_ptr<Segment>* h) { delete h; }, holder);
  if (buffer.IsEmpty()) delete holder;  // the thread is being terminated
  return buffer;
}

// `mapped`: the buffer that this thread already has of the segment, if any.
Napi::Value Describe(Napi::Env env, const std::shared_ptr<Segment>& segment,
                     Napi::Value mapped = {}) {
  Napi::Object out = Napi::Object::New(env);
  bool first = mapped.IsEmpty() || !mapped.IsArrayBuffer();
  Napi::Value buffer = first ? Map(env, segment) : mapped;
  if (buffer.IsEmpty()) return out;
  out.Set("id", segment->id());
  out.Set("maxSize", static_cast<double>(segment->max_size()));
  out.Set("locked", segment->locked());
  out.Set("largePages", segment->large_pages());
  out.Set("buffer", buffer);
  return out;
}

}  // namespace

Napi::Value ToJs(Napi::Env env, const std::shared_ptr<Segment>& segment) {
  return Describe(env, segment);
}

namespace {

SegmentOptions SegmentOptionsFromJs(Napi::Object object) {
  SegmentOptions options;
  options.size = static_cast<size_t>(NumberFromJs(object.Get("size")));
  options.max_size = static_cast<size_t>(NumberFromJs(object.Get("maxSize")));
  options.name = TextFromJs(object.Get("name"));
  options.mode = IntFromJs(object.Get("mode"));
  options.lock = BoolFromJs(object.Get("lock"));
  options.large_pages = BoolFromJs(object.Get("largePages"));
  return options;
}

// createSegment(options), openNamedSegment(options), openSegment(id, buffer?, lock)
Napi::Value CreateSegment(const Napi::CallbackInfo& info) {
  return ToJs(info.Env(), Segment::Create(SegmentOptionsFromJs(info[0].As<Napi::Object>())));
}
Napi::Value OpenNamed(const Napi::CallbackInfo& info) {
  return ToJs(info.Env(), Segment::OpenNamed(SegmentOptionsFromJs(info[0].As<Napi::Object>())));
}
Napi::Value OpenSegment(const Napi::CallbackInfo& info) {
  auto segment = SegmentFromJs(info[0]);
  if (!segment.ok()) return ToJs(info.Env(), segment.failure);
  if (BoolFromJs(info[2])) (*segment)->Lock();
  return Describe(info.Env(), *segment, info[1]);
}

// adoptSegment(fd, maxSize, largePages): takes the descriptor, even if it fails
Napi::Value AdoptSegment(const Napi::CallbackInfo& info) {
  SegmentOptions options;
  options.max_size = static_cast<size_t>(NumberFromJs(info[1]));
  options.large_pages = BoolFromJs(info[2]);
  auto fd = AdoptDescriptor(IntFromJs(info[0]));
  if (!fd.ok()) return ToJs(info.Env(), fd.failure);
  return ToJs(info.Env(), Segment::Adopt(std::move(*fd), options));
}
// segmentDescriptor(id): the number of the segment's descriptor, which the segment keeps
Napi::Value DescriptorOf(const Napi::CallbackInfo& info) {
  auto segment = SegmentFromJs(info[0]);
  if (!segment.ok()) return ToJs(info.Env(), segment.failure);
  return ToJs(info.Env(), (*segment)->fd());
}

Napi::Value Unlink(const Napi::CallbackInfo& info) {
  return ToJs(info.Env(), Segment::Unlink(TextFromJs(info[0])));
}

// growSegment(id, size), sealSegment(id), renewSegment(id, offset, length)
Napi::Value Grow(const Napi::CallbackInfo& info) {
  auto segment = SegmentFromJs(info[0]);
  if (!segment.ok()) return ToJs(info.Env(), segment.failure);
  return ToJs(info.Env(), (*segment)->Grow(static_cast<size_t>(NumberFromJs(info[1]))));
}
Napi::Value Seal(const Napi::CallbackInfo& info) {
  auto segment = SegmentFromJs(info[0]);
  if (!segment.ok()) return ToJs(info.Env(), segment.failure);
  return ToJs(info.Env(), (*segment)->Seal());
}
Napi::Value Renew(const Napi::CallbackInfo& info) {
  auto segment = SegmentFromJs(info[0]);
  if (!segment.ok()) return ToJs(info.Env(), segment.failure);
  return ToJs(info.Env(), RenewPages((*segment)->fd(), static_cast<uint64_t>(NumberFromJs(info[1])),
                                     static_cast<size_t>(NumberFromJs(info[2]))));
}

// Touches a segment's pages on a thread of the pool.
class Prefault : public Napi::AsyncWorker {
 public:
  Prefault(Napi::Env env, std::shared_ptr<Segment> segment)
      : AsyncWorker(env), deferred_(env), segment_(std::move(segment)) {}
  Napi::Value promise() { return deferred_.Promise(); }
  void Execute() override { segment_->Prefault(); }
  void OnOK() override { deferred_.Resolve(Env().Undefined()); }

 private:
  Napi::Promise::Deferred deferred_;
  std::shared_ptr<Segment> segment_;
};

// prefaultSegment(id): a promise, or a failure
Napi::Value PrefaultSegment(const Napi::CallbackInfo& info) {
  auto segment = SegmentFromJs(info[0]);
  if (!segment.ok()) return ToJs(info.Env(), segment.failure);
  auto* work = new Prefault(info.Env(), *segment);
  Napi::Value promise = work->promise();
  work->Queue();
  return promise;
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

// acquireLock(int32array, index, token): false after a while, so that the thread can be terminated
Napi::Value AcquireLock(const Napi::CallbackInfo& info) {
  auto began = std::chrono::steady_clock::now();
  bool acquired = LockOf(info).TryAcquire(static_cast<uint32_t>(IntFromJs(info[2])));
  std::chrono::duration<double, std::micro> waited = std::chrono::steady_clock::now() - began;
  LockWaits& waits = LockWaitsOfThread();
  waits.us += waited.count();
  if (acquired) waits.count += 1;
  return Napi::Boolean::New(info.Env(), acquired);
}

}  // namespace

void RegisterShm(Napi::Env env, Napi::Object exports) {
  Export(env, exports, "createSegment", CreateSegment);
  exports.Set("pageSize", static_cast<double>(sysconf(_SC_PAGESIZE)));
  exports.Set("canRenew", Napi::Boolean::New(env, CanRenewPages()));
  Export(env, exports, "openNamedSegment", OpenNamed);
  Export(env, exports, "adoptSegment", AdoptSegment);
  Export(env, exports, "segmentDescriptor", DescriptorOf);
  Export(env, exports, "unlinkSegment", Unlink);
  Export(env, exports, "growSegment", Grow);
  Export(env, exports, "sealSegment", Seal);
  Export(env, exports, "renewSegment", Renew);
  Export(env, exports, "prefaultSegment", PrefaultSegment);
  Export(env, exports, "openSegment", OpenSegment);
  Export(env, exports, "detachBuffer", Detach);
  Export(env, exports, "waitOnWord", Wait);
  Export(env, exports, "wakeWord", WakeWord);
  Export(env, exports, "acquireLock", AcquireLock);
}

}  // namespace rss
