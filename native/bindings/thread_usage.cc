#include "bindings/convert.h"
#include "core/lock_waits.h"
#include "platform/platform.h"

namespace rss {
namespace {

// Fills the first numbers of an array, in the order of lib/server/layout.ts.
Napi::Value Read(const Napi::CallbackInfo& info) {
  auto usage = UsageOfThread();
  if (!usage.ok()) return ToJs(info.Env(), usage.failure);
  Elements<double> into = ElementsFromJs<double>(info[0]);
  if (into.length >= 6) {
    into.data[0] = usage->user_us;
    into.data[1] = usage->system_us;
    into.data[2] = usage->voluntary_switches;
    into.data[3] = usage->involuntary_switches;
    into.data[4] = LockWaitsOfThread().count;
    into.data[5] = LockWaitsOfThread().us;
  }
  return info.Env().Undefined();
}

}  // namespace

void RegisterThreadUsage(Napi::Env env, Napi::Object exports) {
  Export(env, exports, "threadUsage", Read);
}

}  // namespace rss
