// The addon's entry: loaded once per thread that uses it.
#include "bindings/convert.h"

static Napi::Object Init(Napi::Env env, Napi::Object exports) {
  rss::RegisterRss(env, exports);
  rss::RegisterAffinity(env, exports);
  rss::RegisterThreadUsage(env, exports);
  rss::RegisterSocket(env, exports);
  rss::RegisterRangeSender(env, exports);
  rss::RegisterCards(env, exports);
  rss::RegisterShm(env, exports);
  rss::RegisterPrefetch(env, exports);
  rss::RegisterBucketTable(env, exports);
  rss::RegisterStreamEngine(env, exports);
  rss::RegisterWorkerEngine(env, exports);
  rss::RegisterContract(env, exports);
  return exports;
}

NODE_API_MODULE(freebsd_rss, Init)
