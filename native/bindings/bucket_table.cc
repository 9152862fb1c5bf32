#include "bindings/bucket_table.h"

#include <string.h>

#include <algorithm>
#include <map>
#include <mutex>

#include "bindings/convert.h"
#include "bindings/rss_config.h"

namespace rss {
namespace {

struct Tables {
  std::mutex mutex;
  uint32_t next_id = 1;
  std::map<uint32_t, std::shared_ptr<BucketTable>> by_id;
};

Tables& TheTables() {
  static Tables* tables = new Tables;  // never destroyed: threads may outlive static objects
  return *tables;
}

// createBucketTable(config, bucketToWorker, workers, maxConnections, placed): its id
Napi::Value CreateBucketTable(const Napi::CallbackInfo& info) {
  auto table = std::make_shared<BucketTable>(RssConfigFromJs(info[0].As<Napi::Object>()),
                                             IntsFromJs(info[1]), IntFromJs(info[2]),
                                             IntFromJs(info[3]), BoolFromJs(info[4]));
  Tables& tables = TheTables();
  std::lock_guard<std::mutex> lock(tables.mutex);
  uint32_t id = tables.next_id++;
  tables.by_id[id] = std::move(table);
  return Napi::Number::New(info.Env(), id);
}

// setBucketOwners(id, bucketToWorker)
Napi::Value SetOwners(const Napi::CallbackInfo& info) {
  auto table = FindBucketTable(info[0].As<Napi::Number>().Uint32Value());
  if (table != nullptr) table->SetOwners(IntsFromJs(info[1]));
  return info.Env().Undefined();
}

// setCards(id, config)
Napi::Value SetCards(const Napi::CallbackInfo& info) {
  auto table = FindBucketTable(info[0].As<Napi::Number>().Uint32Value());
  RssConfig config = RssConfigFromJs(info[1].As<Napi::Object>());
  if (table != nullptr && config.has_card())
    table->classifier().SetCards(std::move(config.cards), std::move(config.bucket_to_cpu));
  return info.Env().Undefined();
}

// setCardKey(id, local, key, udp4Tuple)
Napi::Value SetCardKey(const Napi::CallbackInfo& info) {
  auto table = FindBucketTable(info[0].As<Napi::Number>().Uint32Value());
  auto local = ParseAddress(TextFromJs(info[1]), 0);
  auto bytes = ElementsFromJs<uint8_t>(info[2]);
  RssKey key;
  if (table == nullptr || !local.ok() || bytes.length != key.size()) return info.Env().Undefined();
  memcpy(key.data(), bytes.data, key.size());
  table->predictor().SetCardKey(*local, key, BoolFromJs(info[3]));
  return info.Env().Undefined();
}

// inboxLengths(id, into): two numbers for each bucket, what waits in its inbox and the most ever
Napi::Value InboxLengths(const Napi::CallbackInfo& info) {
  auto table = FindBucketTable(info[0].As<Napi::Number>().Uint32Value());
  auto into = ElementsFromJs<double>(info[1]);
  if (table == nullptr) return info.Env().Undefined();
  size_t buckets =
      std::min(static_cast<size_t>(table->classifier().config().buckets()), into.length / 2);
  for (size_t bucket = 0; bucket < buckets; ++bucket) {
    BucketTable::InboxLength length = table->inbox(static_cast<int>(bucket));
    into.data[2 * bucket] = static_cast<double>(length.now);
    into.data[2 * bucket + 1] = static_cast<double>(length.most);
  }
  return info.Env().Undefined();
}

// ignoreFlowIds(id)
Napi::Value IgnoreFlowIds(const Napi::CallbackInfo& info) {
  auto table = FindBucketTable(info[0].As<Napi::Number>().Uint32Value());
  if (table != nullptr) table->classifier().IgnoreIds();
  return info.Env().Undefined();
}

// takeFlowSamples(id): see lib/native.ts
Napi::Value TakeFlowSamples(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  auto flows = Napi::Array::New(env);
  auto table = FindBucketTable(info[0].As<Napi::Number>().Uint32Value());
  if (table == nullptr) return flows;
  for (const FlowSample& one : table->samples().Take()) {
    auto row = Napi::Object::New(env);
    row.Set("transport", one.transport == Transport::kTcp ? "tcp" : "udp");
    row.Set("flowId", one.flow.flow_id);
    row.Set("hashType", one.flow.hash_type);
    row.Set("peer", ToJs(env, one.peer.Unmapped()));
    row.Set("local", ToJs(env, one.local.Unmapped()));
    flows.Set(flows.Length(), row);
  }
  return flows;
}

// wantFlowSamples(id, count)
Napi::Value WantFlowSamples(const Napi::CallbackInfo& info) {
  auto table = FindBucketTable(info[0].As<Napi::Number>().Uint32Value());
  if (table != nullptr) table->samples().Want(static_cast<size_t>(IntFromJs(info[1])));
  return info.Env().Undefined();
}

// destroyBucketTable(id): closes what waits in its inboxes, once no engine uses it any more
Napi::Value Destroy(const Napi::CallbackInfo& info) {
  std::shared_ptr<BucketTable> last;
  Tables& tables = TheTables();
  std::lock_guard<std::mutex> lock(tables.mutex);
  auto found = tables.by_id.find(info[0].As<Napi::Number>().Uint32Value());
  if (found != tables.by_id.end()) {
    last = std::move(found->second);
    tables.by_id.erase(found);
  }
  return info.Env().Undefined();
}

}  // namespace

std::shared_ptr<BucketTable> FindBucketTable(uint32_t id) {
  Tables& tables = TheTables();
  std::lock_guard<std::mutex> lock(tables.mutex);
  auto found = tables.by_id.find(id);
  return found == tables.by_id.end() ? nullptr : found->second;
}

void RegisterBucketTable(Napi::Env env, Napi::Object exports) {
  Export(env, exports, "createBucketTable", CreateBucketTable);
  Export(env, exports, "setBucketOwners", SetOwners);
  Export(env, exports, "setCards", SetCards);
  Export(env, exports, "inboxLengths", InboxLengths);
  Export(env, exports, "setCardKey", SetCardKey);
  Export(env, exports, "takeFlowSamples", TakeFlowSamples);
  Export(env, exports, "wantFlowSamples", WantFlowSamples);
  Export(env, exports, "ignoreFlowIds", IgnoreFlowIds);
  Export(env, exports, "destroyBucketTable", Destroy);
}

}  // namespace rss
