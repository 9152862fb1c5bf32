// RangeSender for JavaScript.
#include "engine/range_sender.h"

#include <math.h>

#include "bindings/callback.h"
#include "bindings/file_flags.h"

namespace rss {
namespace {

class Sender : public Napi::ObjectWrap<Sender>, public RangeSenderSink {
 public:
  static Napi::Function Define(Napi::Env env) {
    return DefineClass(
        env, "RangeSender",
        {InstanceMethod<&Sender::Start>("start"),
         InstanceMethod<&Sender::Unacknowledged>("unacknowledged"),
         InstanceMethod<&Sender::Reusable>("reusable"), InstanceMethod<&Sender::Close>("close")});
  }

  // new RangeSender(range, done(errno)): see lib/native.ts
  explicit Sender(const Napi::CallbackInfo& info)
      : ObjectWrap(info), env_(info.Env()), callback_(info.Env(), "RssRangeSender") {
    auto options = info[0].As<Napi::Object>();
    done_ = Napi::Persistent(info[1].As<Napi::Function>());
    RangeToSend range;
    SendSource& source = range.source;
    source.segment = Segment::Find(static_cast<uint32_t>(IntFromJs(options.Get("segment"))));
    if (source.segment == nullptr)
      failure_ = source.OpenFile(IntFromJs(options.Get("file")), false).failure;
    range.share = !BoolFromJs(options.Get("copy"));
    range.offset = static_cast<uint64_t>(NumberFromJs(options.Get("offset")));
    range.length = static_cast<size_t>(NumberFromJs(options.Get("length")));
    ReadFileFlags(options, &source.how);
    source.how.sync = BoolFromJs(options.Get("sync"));
    auto header = ElementsFromJs<uint8_t>(options.Get("header"));
    if (header.data != nullptr) range.header.Append(header.data, header.length);
    uv_loop_t* loop = nullptr;
    napi_get_uv_event_loop(env_, &loop);
    sender_ = std::make_unique<RangeSender>(loop, std::move(range), this);
    napi_add_env_cleanup_hook(env_, CleanUp, this);
    hooked_ = true;
  }
  ~Sender() override { Release(); }

  void OnSent(int result) override {
    StopWaiting();
    callback_.Call(done_, static_cast<double>(result));
  }

 private:
  static void CleanUp(void* self) {
    auto* sender = static_cast<Sender*>(self);
    sender->hooked_ = false;
    sender->Release();
  }

  void Release() {
    if (hooked_) napi_remove_env_cleanup_hook(env_, CleanUp, this);
    hooked_ = false;
    sender_->Close();
  }

  // start(socket): 0 when all has been taken, 1 when done() will be called, or a failure
  Napi::Value Start(const Napi::CallbackInfo& info) {
    Napi::Env env = info.Env();
    if (failure_.error != 0) return ToJs(env, failure_);
    auto done = sender_->Start(IntFromJs(info[0]));
    if (!done.ok()) return ToJs(env, done.failure);
    if (!*done) {
      Ref();
      waiting_ = true;
    }
    return ToJs(env, *done ? 0 : 1);
  }

  // From start() to done() the object lives whether or not JavaScript holds it.
  void StopWaiting() {
    if (waiting_) Unref();
    waiting_ = false;
  }

  // unacknowledged(): bytes, Infinity once the socket has no peer
  Napi::Value Unacknowledged(const Napi::CallbackInfo& info) {
    ssize_t rest = sender_->Unacknowledged();
    return Napi::Number::New(info.Env(), rest < 0 ? HUGE_VAL : static_cast<double>(rest));
  }
  Napi::Value Reusable(const Napi::CallbackInfo& info) {
    return ToJs(info.Env(), sender_->IsReusable());
  }
  Napi::Value Close(const Napi::CallbackInfo& info) {
    Release();
    StopWaiting();
    return info.Env().Undefined();
  }

  napi_env env_;
  Callback callback_;
  Napi::FunctionReference done_;
  Failure failure_;
  std::unique_ptr<RangeSender> sender_;
  bool hooked_ = false;
  bool waiting_ = false;
};

}  // namespace

void RegisterRangeSender(Napi::Env env, Napi::Object exports) {
  exports.Set("RangeSender", Sender::Define(env));
  exports.Set("hasSyncSend", HasSyncSend());
}

}  // namespace rss
