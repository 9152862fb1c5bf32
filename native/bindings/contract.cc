// The C++ side of lib/contract.ts: the same names with the values that C++ uses.
#include "bindings/convert.h"
#include "core/connection_ids.h"
#include "core/counters.h"
#include "core/hash_type.h"
#include "core/owner_lock.h"
#include "core/promotion_counts.h"
#include "core/refusal.h"
#include "core/rows.h"
#include "core/rss_config.h"
#include "engine/stream_engine.h"
#include "platform/posix/datagrams.h"
#include "steering/steering.h"

namespace rss {
namespace {

struct Entry {
  const char* name;
  double value;
};

void SetAll(Napi::Object object, std::initializer_list<Entry> entries) {
  for (const Entry& entry : entries) object.Set(entry.name, entry.value);
}

template <typename Enum>
constexpr double NumberOf(Enum value) {
  return static_cast<double>(value);
}

// The index of a field among the 32-bit words of its row.
#define WORD(Row, field) (static_cast<double>(offsetof(Row, field) / sizeof(uint32_t)))

Napi::Object Contract(Napi::Env env) {
  Napi::Object out = Napi::Object::New(env);
  SetAll(out, {{"openedConnection", WORD(OpenedRow, connection)},
               {"openedBucket", WORD(OpenedRow, bucket)},
               {"openedFlowId", WORD(OpenedRow, flow_id)},
               {"openedHashType", WORD(OpenedRow, hash_type)},
               {"openedFromKernel", WORD(OpenedRow, from_kernel)},
               {"openedWords", kWords<OpenedRow>},
               {"closedConnection", WORD(ClosedRow, connection)},
               {"closedError", WORD(ClosedRow, error)},
               {"closedWords", kWords<ClosedRow>},
               {"completedToken", WORD(CompletedRow, token)},
               {"completedFlags", WORD(CompletedRow, flags)},
               {"completedWords", kWords<CompletedRow>},
               {"completedDone", CompletedRow::kDone},
               {"completedReusable", CompletedRow::kReusable},
               {"splicedToken", WORD(SplicedRow, token)},
               {"splicedEvent", WORD(SplicedRow, event)},
               {"splicedConnection", WORD(SplicedRow, connection)},
               {"splicedError", WORD(SplicedRow, error)},
               {"splicedForth", WORD(SplicedRow, forth_low)},
               {"splicedBack", WORD(SplicedRow, back_low)},
               {"splicedWords", kWords<SplicedRow>},
               {"turnOpened", WORD(TurnRow, opened)},
               {"turnInputs", WORD(TurnRow, inputs)},
               {"turnClosed", WORD(TurnRow, closed)},
               {"turnCompleted", WORD(TurnRow, completed)},
               {"turnSpliced", WORD(TurnRow, spliced)},
               {"turnWords", kWords<TurnRow>},
               {"inputConnection", WORD(InputRow, connection)},
               {"inputOffset", WORD(InputRow, offset)},
               {"inputLength", WORD(InputRow, length)},
               {"inputFlags", WORD(InputRow, flags)},
               {"inputBucket", WORD(InputRow, bucket)},
               {"inputConsumed", WORD(InputRow, consumed)},
               {"inputNeeded", WORD(InputRow, needed)},
               {"inputWords", kWords<InputRow>},
               {"inputEnded", InputRow::kEnded},
               {"inputUntouched", InputRow::kUntouched},
               {"outputTo", WORD(OutputRow, to)},
               {"outputSource", WORD(OutputRow, source)},
               {"outputOffset", WORD(OutputRow, offset)},
               {"outputLength", WORD(OutputRow, length)},
               {"outputWords", kWords<OutputRow>},
               {"outputInSlab", OutputRow::kInSlab},
               {"outputOutSlab", OutputRow::kOutSlab},
               {"outputEnd", OutputRow::kEnd},
               {"outputDestroy", OutputRow::kDestroy},
               {"outputTaken", OutputRow::kTaken},
               {"outputAcknowledged", OutputRow::kAcknowledged},
               {"replyInSlab", ReplyRow::kInSlab},
               {"replyOutSlab", ReplyRow::kOutSlab},
               {"replyOutSlabConnected", ReplyRow::kOutSlabConnected},
               {"replyOutSlabTarget", ReplyRow::kOutSlabTarget},
               {"targetPeer", offsetof(TargetHead, peer)},
               {"targetSource", offsetof(TargetHead, source)},
               {"targetPort", WORD(TargetHead, port)},
               {"targetFlowId", WORD(TargetHead, flow_id)},
               {"targetHashType", WORD(TargetHead, hash_type)},
               {"targetSize", sizeof(TargetHead)},
               {"pendingBucket", WORD(PendingRow, bucket)},
               {"pendingFlowId", WORD(PendingRow, flow_id)},
               {"pendingHashType", WORD(PendingRow, hash_type)},
               {"pendingFromKernel", WORD(PendingRow, from_kernel)},
               {"pendingWords", kWords<PendingRow>},
               {"datagramOffset", WORD(DatagramRow, offset)},
               {"datagramLength", WORD(DatagramRow, length)},
               {"datagramFlags", WORD(DatagramRow, flags)},
               {"datagramBucket", WORD(DatagramRow, bucket)},
               {"datagramFlowId", WORD(DatagramRow, flow_id)},
               {"datagramHashType", WORD(DatagramRow, hash_type)},
               {"datagramSocket", WORD(DatagramRow, socket)},
               {"datagramEndpoint", WORD(DatagramRow, endpoint)},
               {"datagramWords", kWords<DatagramRow>},
               {"datagramTruncated", DatagramRow::kTruncated},
               {"datagramBatch", kDatagramBatch},
               {"largestDatagram", kLargestDatagram},
               {"streamReadSize", StreamEngine::kReadSize},
               {"connectionSlotBits", ConnectionIds::kSlotBits},
               {"lockContended", OwnerLock::kContended},
               {"hashTypeInner", kHashTypeInner},
               {"rssKeySize", kKeySize},
               {"rssMaxBits", kMaxBits},
               {"maxCpu", kMaxCpu},
               {"counterStride", kCounterStride}});

  Napi::Array names = Napi::Array::New(env);
  for (const char* name : kCounterNames) names.Set(names.Length(), name);
  out.Set("counterNames", names);

  Napi::Array refusals = Napi::Array::New(env);
  for (const char* name : kRefusalNames) refusals.Set(refusals.Length(), name);
  out.Set("refusalNames", refusals);

  Napi::Array splice_events = Napi::Array::New(env);
  for (const char* name : kSpliceEventNames) splice_events.Set(splice_events.Length(), name);
  out.Set("spliceEventNames", splice_events);
  Napi::Array promotions = Napi::Array::New(env);
  for (const char* name : kPromotionNames) promotions.Set(promotions.Length(), name);
  out.Set("promotionNames", promotions);

  Napi::Object hash_type = Napi::Object::New(env);
  for (uint32_t type : kHashTypes) hash_type.Set(HashTypeName(type), type);
  out.Set("hashTypeNumber", hash_type);

  Napi::Object steering = Napi::Object::New(env);
  for (int i = 0; i < kSteerings; ++i) steering.Set(MethodOf(static_cast<Steering>(i)).name, i);
  out.Set("steeringNumber", steering);

  Napi::Object option = Napi::Object::New(env);
  for (size_t i = 0; i < kSocketOptions; ++i)
    option.Set(kSocketOptionNames[i], static_cast<double>(i));
  out.Set("optionNumber", option);

  Napi::Object zero_copy = Napi::Object::New(env);
  SetAll(zero_copy, {{"never", NumberOf(ZeroCopy::kNever)},
                     {"auto", NumberOf(ZeroCopy::kAuto)},
                     {"always", NumberOf(ZeroCopy::kAlways)}});
  out.Set("zeroCopyNumber", zero_copy);
  return out;
}

#undef WORD

}  // namespace

void RegisterContract(Napi::Env env, Napi::Object exports) {
  exports.Set("contract", Contract(env));
}

}  // namespace rss
