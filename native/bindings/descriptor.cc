#include "bindings/descriptor.h"

namespace rss {
namespace {

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

}  // namespace

Napi::Value ToJs(Napi::Env env, UniqueFd fd) {
  // The constructor is not exported, so that JavaScript cannot wrap arbitrary numbers.
  auto* constructor = env.GetInstanceData<Napi::FunctionReference>();
  Napi::Object descriptor = constructor->New({});
  Descriptor* owner = descriptor.IsEmpty() ? nullptr : Descriptor::Unwrap(descriptor);
  if (owner == nullptr) return env.Undefined();  // the thread is being terminated
  owner->Own(std::move(fd));
  return descriptor;
}

void RegisterDescriptor(Napi::Env env) {
  env.SetInstanceData(new Napi::FunctionReference(Napi::Persistent(Descriptor::Define(env))));
}

}  // namespace rss
