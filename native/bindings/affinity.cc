#include "bindings/convert.h"
#include "platform/platform.h"

namespace rss {
namespace {

Napi::Value Process(const Napi::CallbackInfo& info) {
  return ToJs(info.Env(), ProcessCpus());
}

Napi::Value Get(const Napi::CallbackInfo& info) {
  return ToJs(info.Env(), ThreadAffinity());
}

Napi::Value Set(const Napi::CallbackInfo& info) {
  CpuList cpus = IntsFromJs(info[0]);
  Normalize(&cpus);
  return ToJs(info.Env(), SetThreadAffinity(cpus));
}

Napi::Value Pin(const Napi::CallbackInfo& info) {
  return ToJs(info.Env(), PinWorker(IntFromJs(info[0])));
}

Napi::Value Current(const Napi::CallbackInfo& info) {
  return Napi::Number::New(info.Env(), CurrentCpu());
}

Napi::Value Parse(const Napi::CallbackInfo& info) {
  return ToJs(info.Env(), ParseCpuList(TextFromJs(info[0])));
}

Napi::Value Format(const Napi::CallbackInfo& info) {
  CpuList cpus = IntsFromJs(info[0]);
  Normalize(&cpus);
  return Napi::String::New(info.Env(), FormatCpuList(cpus));
}

}  // namespace

void RegisterAffinity(Napi::Env env, Napi::Object exports) {
  Export(env, exports, "processCpus", Process);
  Export(env, exports, "threadAffinity", Get);
  Export(env, exports, "setThreadAffinity", Set);
  Export(env, exports, "pinWorker", Pin);
  Export(env, exports, "currentCpu", Current);
  Export(env, exports, "parseCpuList", Parse);
  Export(env, exports, "formatCpuList", Format);
}

}  // namespace rss
