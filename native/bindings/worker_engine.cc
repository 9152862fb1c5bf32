// WorkerEngine for JavaScript: typed arrays in, one call per batch out.
#include "engine/worker_engine.h"
#include "engine/stream_engine.h"

#include <string.h>

#include <algorithm>

#include "bindings/bucket_table.h"
#include "bindings/callback.h"
#include "bindings/connection_facts.h"
#include "bindings/stream_engine.h"
#include "core/rows.h"
#include "platform/posix/flow_socket.h"
#include "platform/posix/shm.h"

namespace rss {
namespace {

SocketAddress ToAddress(const AddressWords& words) {
  SocketAddress out;
  if (words.family == 4) {
    out.v4.sin_family = AF_INET;
    memcpy(&out.v4.sin_addr, words.bytes, sizeof out.v4.sin_addr);
  } else {
    out.v6.sin6_family = AF_INET6;
    out.v6.sin6_scope_id = words.scope;
    memcpy(&out.v6.sin6_addr, words.bytes, sizeof out.v6.sin6_addr);
  }
  return out;
}

// parseAddress(text): the bytes of AddressWords, or a failure
Napi::Value AddressBytes(const Napi::CallbackInfo& info) {
  auto parsed = ParseAddress(TextFromJs(info[0]), 0);
  if (!parsed.ok()) return ToJs(info.Env(), parsed.failure);
  SocketAddress address = parsed->Unmapped();
  AddressWords words{};
  if (address.family() == AF_INET) {
    words.family = 4;
    memcpy(words.bytes, &address.v4.sin_addr, sizeof address.v4.sin_addr);
  } else {
    words.family = 6;
    words.scope = address.v6.sin6_scope_id;
    memcpy(words.bytes, &address.v6.sin6_addr, sizeof address.v6.sin6_addr);
  }
  return Napi::Buffer<uint8_t>::Copy(info.Env(), reinterpret_cast<uint8_t*>(&words), sizeof words);
}

class Worker : public Napi::ObjectWrap<Worker>, public WorkerSink {
 public:
  static Napi::Function Define(Napi::Env env) {
    return DefineClass(env, "WorkerEngine",
                       {InstanceMethod<&Worker::AddListener>("addListener"),
                        InstanceMethod<&Worker::AddDatagramSocket>("addDatagramSocket"),
                        InstanceMethod<&Worker::ConnectDatagrams>("connectDatagrams"),
                        InstanceMethod<&Worker::CloseDatagrams>("closeDatagrams"),
                        InstanceMethod<&Worker::LocalAddress>("localAddress"),
                        InstanceMethod<&Worker::Start>("start"),
                        InstanceMethod<&Worker::SetHandOff>("setHandOff"),
                        InstanceMethod<&Worker::StopAccepting>("stopAccepting"),
                        InstanceMethod<&Worker::Drain>("drain"),
                        InstanceMethod<&Worker::Close>("close"),
                        InstanceMethod<&Worker::Take>("take"),
                        InstanceMethod<&Worker::Arrived>("arrived"),
                        InstanceMethod<&Worker::Hold>("hold"),
                        InstanceMethod<&Worker::Moved>("moved"),
                        InstanceMethod<&Worker::Ended>("ended"),
                        InstanceMethod<&Worker::Facts>("facts"),
                        InstanceMethod<&Worker::Peer>("peer"),
                        InstanceMethod<&Worker::Destination>("destination"),
                        InstanceMethod<&Worker::Misdirections>("misdirections"),
                        InstanceMethod<&Worker::Flush>("flush"),
                        InstanceMethod<&Worker::Check>("check"),
                        InstanceMethod<&Worker::CountDrops>("countDrops")});
  }

  // new WorkerEngine(settings, views, onConnections(count), onDatagrams(), onAcceptError(errno),
  // onDatagramError(id, errno)): see lib/native.ts
  explicit Worker(const Napi::CallbackInfo& info)
      : ObjectWrap(info), env_(info.Env()), callback_(info.Env(), "RssWorkerEngine") {
    auto settings = info[0].As<Napi::Object>();
    auto views = info[1].As<Napi::Object>();
    EngineContext context;
    context.worker = IntFromJs(settings.Get("worker"));
    context.table = FindBucketTable(static_cast<uint32_t>(IntFromJs(settings.Get("table"))));
    WorkerOptions options;
    options.accept.default_bucket = IntFromJs(settings.Get("defaultBucket"));
    options.accept.hand_off = BoolFromJs(settings.Get("handOff"));
    options.accept.hand_off_unhashed = BoolFromJs(settings.Get("handOffUnhashed"));
    options.count_misdirected = BoolFromJs(settings.Get("countMisdirected"));
    DatagramOptions& datagrams = options.datagrams;
    datagrams.forward = BoolFromJs(settings.Get("forward"));
    datagrams.flows = BoolFromJs(settings.Get("flowInfo"));
    datagrams.default_bucket = options.accept.default_bucket;
    datagrams.stride = static_cast<size_t>(IntFromJs(settings.Get("stride")));
    PromotionOptions& promotion = datagrams.promotion;
    promotion.after = static_cast<uint32_t>(IntFromJs(settings.Get("promoteAfter")));
    promotion.limit = static_cast<size_t>(IntFromJs(settings.Get("promoteLimit")));
    promotion.idle_ms = static_cast<uint64_t>(IntFromJs(settings.Get("promoteIdle")));
    datagrams.cell_size = static_cast<size_t>(IntFromJs(settings.Get("cellSize")));
    size_t buckets = context.table == nullptr ? 0 : context.table->classifier().config().buckets();
    bool valid = context.table != nullptr && datagrams.cell_size <= datagrams.stride &&
                 slab_.Hold(views.Get("slab"), kDatagramBatch * datagrams.stride) &&
                 reply_slab_.Hold(views.Get("replySlab"), 0) &&
                 connections_.Hold(views.Get("connections"), kWords<PendingRow>) &&
                 datagrams_.Hold(views.Get("datagrams"), kDatagramBatch * kWords<DatagramRow>) &&
                 replies_.Hold(views.Get("replies"), kWords<ReplyRow>) &&
                 received_.Hold(views.Get("received"), 1) && unsent_.Hold(views.Get("unsent"), 1) &&
                 counters_.Hold(settings.Get("counters"), buckets * kCounterStride) &&
                 refusals_.Hold(settings.Get("refusals"), kRefusals) &&
                 promotions_.Hold(settings.Get("promotions"), kPromotionCounts);
    if (!valid) {
      Napi::TypeError::New(env_, "WorkerEngine: no such bucket table, or a view is too small")
          .ThrowAsJavaScriptException();
      return;
    }
    on_connections_ = Napi::Persistent(info[2].As<Napi::Function>());
    on_datagrams_ = Napi::Persistent(info[3].As<Napi::Function>());
    on_accept_error_ = Napi::Persistent(info[4].As<Napi::Function>());
    on_datagram_error_ = Napi::Persistent(info[5].As<Napi::Function>());
    datagrams.slab = slab_.data;
    context.counters = reinterpret_cast<BucketCounters*>(counters_.data);
    promotion.counts = reinterpret_cast<PromotionCounts*>(promotions_.data);
    if (promotion.limit == 0) promotion.limit = FlowSocketLimit(context.table->workers());
    context.refusals = reinterpret_cast<RefusalCounts*>(refusals_.data);
    // The stream engine was made before this one, so its clean-up hook runs later.
    options.streams = StreamEngineFromJs(settings.Get("streams"));
    napi_get_uv_event_loop(env_, &context.loop);
    engine_ = std::make_unique<WorkerEngine>(context, options, this);
    // A libuv handle that is left open when its thread ends aborts the process.
    napi_add_env_cleanup_hook(env_, CleanUp, this);
    hooked_ = true;
  }

  ~Worker() override {
    if (hooked_) napi_remove_env_cleanup_hook(env_, CleanUp, this);
    if (engine_ != nullptr) engine_->Close();
  }

  bool OnConnections(size_t count) override {
    auto* rows = reinterpret_cast<PendingRow*>(connections_.data);
    count = std::min(count, connections_.length / kWords<PendingRow>);
    for (size_t i = 0; i < count; ++i) {
      const Flow& flow = engine_->pending().flow(i);
      rows[i] = {static_cast<uint32_t>(flow.bucket), flow.flow_id, flow.hash_type,
                 flow.from_kernel};
    }
    return callback_.Call(on_connections_, static_cast<double>(count));
  }

  bool OnDatagrams(size_t count) override {
    auto* rows = reinterpret_cast<DatagramRow*>(datagrams_.data);
    for (size_t i = 0; i < count; ++i) {
      const ReceivedDatagram& from = engine_->datagrams().row(i);
      rows[i] = {from.cell * static_cast<uint32_t>(stride()),
                 from.length,
                 from.truncated ? DatagramRow::kTruncated : 0,
                 static_cast<uint32_t>(from.flow.bucket),
                 from.flow.flow_id,
                 from.flow.hash_type,
                 from.connected,
                 static_cast<uint32_t>(from.endpoint)};
    }
    rows_ = count;
    received_.data[0] = static_cast<uint32_t>(count);
    if (callback_.Call(on_datagrams_)) Send();
    rows_ = 0;
    return received_.data[0] == 0;
  }

  void OnDatagramError(uint32_t connected, int error) override {
    callback_.Call(on_datagram_error_, static_cast<double>(connected), static_cast<double>(error));
  }

  void OnAcceptError(int error) override {
    callback_.Call(on_accept_error_, static_cast<double>(error));
  }

 private:
  static void CleanUp(void* self) {
    auto* worker = static_cast<Worker*>(self);
    worker->hooked_ = false;
    worker->engine_->Close();
  }

  size_t stride() const { return slab_.length / kDatagramBatch; }

  const ReplyRow* replies() const { return reinterpret_cast<const ReplyRow*>(replies_.data); }
  size_t most_replies() const { return replies_.length / kWords<ReplyRow>; }
  const View<uint8_t>& SlabOf(const ReplyRow& row) const {
    return row.source == ReplyRow::kInSlab ? slab_ : reply_slab_;
  }

  Refusal Judge(const ReplyRow& row) const {
    if (row.source > ReplyRow::kOutSlabTarget) return Refusal::kUnknownSource;
    bool answers = row.source < ReplyRow::kOutSlabConnected;
    if (row.source == ReplyRow::kOutSlabConnected && row.to == 0)
      return Refusal::kUnknownConnection;
    if (answers && row.to >= rows_) return Refusal::kNotInBatch;
    size_t size = SlabOf(row).length;
    bool inside = row.offset <= size && row.length <= size - row.offset;
    return inside ? Refusal::kNone : Refusal::kOutOfRange;
  }

  // Reads the head of a row to a target, and takes it off the row.
  Refusal ReadTarget(ReplyRow* row, DatagramTarget* target) const {
    TargetHead head;
    if (row->length < sizeof head) return Refusal::kOutOfRange;
    memcpy(&head, SlabOf(*row).data + row->offset, sizeof head);
    row->offset += static_cast<uint32_t>(sizeof head);
    row->length -= static_cast<uint32_t>(sizeof head);
    target->endpoint = static_cast<int>(row->to);
    target->peer = ToAddress(head.peer);
    target->peer.set_port(static_cast<uint16_t>(head.port));
    target->has_source = head.source.family != 0;
    target->source = ToAddress(head.source);
    target->flow = {head.flow_id, head.hash_type};
    return engine_->datagrams().Resolve(target) ? Refusal::kNone : Refusal::kUnknownConnection;
  }

  // Sends the rows that JavaScript has collected; their number is in `unsent`. Counts and skips
  // those that are refused.
  void Send() {
    DatagramReply batch[kDatagramBatch];
    size_t size = 0;
    size_t count = std::min<size_t>(unsent_.data[0], most_replies());
    unsent_.data[0] = 0;
    for (size_t i = 0; i < count; ++i) {
      ReplyRow row = replies()[i];
      Refusal refusal = Judge(row);
      bool targeted = row.source == ReplyRow::kOutSlabTarget;
      if (refusal == Refusal::kNone && targeted) refusal = ReadTarget(&row, &targets_[size]);
      if (refusal != Refusal::kNone) {
        reinterpret_cast<RefusalCounts*>(refusals_.data)->Add(refusal);
        continue;
      }
      bool connected = row.source == ReplyRow::kOutSlabConnected;
      batch[size] = {connected ? 0 : row.to, connected ? row.to : 0,
                     targeted ? &targets_[size] : nullptr, SlabOf(row).data + row.offset,
                     row.length};
      ++size;
      if (size == kDatagramBatch) {
        engine_->datagrams().Send(batch, size);
        size = 0;
      }
    }
    if (size > 0) engine_->datagrams().Send(batch, size);
  }

  Napi::Value AddListener(const Napi::CallbackInfo& info) {
    return ToJs(info.Env(), engine_->AddListener(IntFromJs(info[0])));
  }
  Napi::Value AddDatagramSocket(const Napi::CallbackInfo& info) {
    return ToJs(info.Env(), engine_->AddDatagramSocket(IntFromJs(info[0]), IntFromJs(info[1]),
                                                       BoolFromJs(info[2])));
  }
  // connectDatagrams(how): the socket's id, or a failure
  Napi::Value ConnectDatagrams(const Napi::CallbackInfo& info) {
    auto how = ConnectingFromJs(Transport::kUdp, info[0]);
    if (!how.ok()) return ToJs(info.Env(), how.failure);
    return ToJs(info.Env(), engine_->ConnectDatagrams(*how));
  }
  Napi::Value CloseDatagrams(const Napi::CallbackInfo& info) {
    engine_->datagrams().Disconnect(static_cast<uint32_t>(IntFromJs(info[0])));
    return info.Env().Undefined();
  }
  // countDrops(): see lib/native.ts
  Napi::Value CountDrops(const Napi::CallbackInfo& info) {
    engine_->datagrams().CountDrops();
    return info.Env().Undefined();
  }
  Napi::Value LocalAddress(const Napi::CallbackInfo& info) {
    const SocketAddress* local =
        engine_->datagrams().LocalAddress(static_cast<uint32_t>(IntFromJs(info[0])));
    return local == nullptr ? info.Env().Undefined() : ToJs(info.Env(), *local);
  }
  Napi::Value Start(const Napi::CallbackInfo& info) { return ToJs(info.Env(), engine_->Start()); }
  // setHandOff(connections, unhashed, datagrams)
  Napi::Value SetHandOff(const Napi::CallbackInfo& info) {
    engine_->SetHandOff(BoolFromJs(info[0]), BoolFromJs(info[1]), BoolFromJs(info[2]));
    return info.Env().Undefined();
  }
  // stopAccepting(queued)
  Napi::Value StopAccepting(const Napi::CallbackInfo& info) {
    engine_->StopAccepting(BoolFromJs(info[0]));
    return info.Env().Undefined();
  }
  // drain(): delivers what waits in the inbox; true when nothing is left
  Napi::Value Drain(const Napi::CallbackInfo& info) {
    return Napi::Boolean::New(info.Env(), engine_->Drain());
  }
  Napi::Value Close(const Napi::CallbackInfo& info) {
    engine_->Close();
    return info.Env().Undefined();
  }
  Napi::Value Take(const Napi::CallbackInfo& info) {
    return Napi::Number::New(info.Env(),
                             engine_->pending().Take(info[0].As<Napi::Number>().Uint32Value()));
  }
  Napi::Value Arrived(const Napi::CallbackInfo& info) {
    engine_->pending().Arrived();
    return info.Env().Undefined();
  }
  // hold(bucket): the stream engine has given up a connection, which is now a socket of Node
  // moved(bucket): the other way round
  // ended(bucket): a socket of take() or hold() has ended
  Napi::Value Hold(const Napi::CallbackInfo& info) {
    engine_->sockets().Add(IntFromJs(info[0]));
    return info.Env().Undefined();
  }
  Napi::Value Moved(const Napi::CallbackInfo& info) {
    engine_->sockets().Moved(IntFromJs(info[0]));
    return info.Env().Undefined();
  }
  Napi::Value Ended(const Napi::CallbackInfo& info) {
    engine_->sockets().Ended(IntFromJs(info[0]));
    return info.Env().Undefined();
  }
  // facts(fd, bytesIn, bytesOut): what a socket of Node says about its connection
  Napi::Value Facts(const Napi::CallbackInfo& info) {
    ConnectionBytes counted{NumberFromJs(info[1]), NumberFromJs(info[2])};
    return FactsOf(info.Env(), IntFromJs(info[0]), engine_->classifier(), counted);
  }
  // flush(): sends the rows now
  Napi::Value Flush(const Napi::CallbackInfo& info) {
    Send();
    return info.Env().Undefined();
  }
  // check(row): why the reply row would be refused, as for StreamEngine
  Napi::Value Check(const Napi::CallbackInfo& info) {
    size_t i = info[0].As<Napi::Number>().Uint32Value();
    if (i >= most_replies()) return Napi::Number::New(info.Env(), 0);
    ReplyRow row = replies()[i];
    Refusal refusal = Judge(row);
    DatagramTarget target;
    if (refusal == Refusal::kNone && row.source == ReplyRow::kOutSlabConnected)
      refusal = engine_->datagrams().Check(row.to);
    if (refusal == Refusal::kNone && row.source == ReplyRow::kOutSlabTarget)
      refusal = ReadTarget(&row, &target);
    return Napi::Number::New(info.Env(), static_cast<double>(refusal));
  }
  Napi::Value Peer(const Napi::CallbackInfo& info) {
    size_t i = info[0].As<Napi::Number>().Uint32Value();
    if (i >= rows_) return info.Env().Undefined();
    return ToJs(info.Env(), engine_->datagrams().row(i).peer);
  }
  Napi::Value Destination(const Napi::CallbackInfo& info) {
    size_t i = info[0].As<Napi::Number>().Uint32Value();
    if (i >= rows_) return info.Env().Undefined();
    return ToJs(info.Env(), engine_->datagrams().Destination(i));
  }
  // misdirections(): see lib/native.ts
  Napi::Value Misdirections(const Napi::CallbackInfo& info) {
    Napi::Env env = info.Env();
    auto list = Napi::Array::New(env);
    for (const Misdirection& one : engine_->misdirections().TakeSamples()) {
      auto row = Napi::Object::New(env);
      row.Set("protocol", one.transport == Transport::kTcp ? "tcp" : "udp");
      row.Set("flow", ToJs(env, one.flow));
      row.Set("peer", ToJs(env, one.peer));
      row.Set("local", ToJs(env, one.local));
      list.Set(list.Length(), row);
    }
    return list;
  }

  napi_env env_;
  Callback callback_;
  View<uint8_t> slab_, reply_slab_;
  View<uint32_t> connections_, datagrams_, replies_, received_, unsent_;
  View<double> counters_, refusals_, promotions_;
  Napi::FunctionReference on_connections_, on_datagrams_, on_accept_error_, on_datagram_error_;
  std::unique_ptr<WorkerEngine> engine_;
  std::vector<DatagramTarget> targets_{kDatagramBatch};  // of the batch that Send() collects
  size_t rows_ = 0;
  bool hooked_ = false;
};

}  // namespace

void RegisterWorkerEngine(Napi::Env env, Napi::Object exports) {
  Export(env, exports, "parseAddress", AddressBytes);
  exports.Set("WorkerEngine", Worker::Define(env));
}

}  // namespace rss
