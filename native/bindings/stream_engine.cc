// StreamEngine for JavaScript: tables of rows both ways, one call per turn.
#include "bindings/stream_engine.h"

#include <algorithm>

#include "bindings/bucket_table.h"
#include "bindings/callback.h"
#include "bindings/connection_facts.h"
#include "bindings/file_flags.h"
#include "engine/stream_engine.h"

namespace rss {
namespace {

// NativeTls of lib/native.ts
TlsOptions TlsFromJs(Napi::Object given) {
  TlsOptions options;
  options.key = TextFromJs(given.Get("key"));
  options.cert = TextFromJs(given.Get("cert"));
  options.ca = TextFromJs(given.Get("ca"));
  options.client_certificate =
      static_cast<ClientCertificate>(IntFromJs(given.Get("clientCertificate")));
  options.min_version = IntFromJs(given.Get("minVersion"));
  auto keys = ElementsFromJs<uint8_t>(given.Get("ticketKeys"));
  options.ticket_keys.assign(keys.data, keys.data + keys.length);
  options.handshake_timeout = static_cast<uint64_t>(IntFromJs(given.Get("handshakeTimeout")));
  return options;
}

// checkTls(options): undefined, or why they cannot be used
Napi::Value CheckTls(const Napi::CallbackInfo& info) {
  auto context = TlsContext::Make(TlsFromJs(info[0].As<Napi::Object>()));
  return context.ok() ? info.Env().Undefined() : ToJs(info.Env(), context.failure);
}

class Streams : public Napi::ObjectWrap<Streams>, public StreamSink {
 public:
  static Napi::Function Define(Napi::Env env) {
    return DefineClass(env, "StreamEngine",
                       {InstanceMethod<&Streams::AddBuffer>("addBuffer"),
                        InstanceMethod<&Streams::AddSegment>("addSegment"),
                        InstanceMethod<&Streams::AddFile>("addFile"),
                        InstanceMethod<&Streams::RemoveSource>("removeSource"),
                        InstanceMethod<&Streams::LeavesHost>("leavesHost"),
                        InstanceMethod<&Streams::Flush>("flush"),
                        InstanceMethod<&Streams::Check>("check"),
                        InstanceMethod<&Streams::ConnectTcp>("connectTcp"),
                        InstanceMethod<&Streams::ConnectUnix>("connectUnix"),
                        InstanceMethod<&Streams::SetTls>("setTls"),
                        InstanceMethod<&Streams::Retire>("retire"),
                        InstanceMethod<&Streams::Passed>("passed"),
                        InstanceMethod<&Streams::Detach>("detach"),
                        InstanceMethod<&Streams::Attach>("attach"),
                        InstanceMethod<&Streams::Splice>("splice"),
                        InstanceMethod<&Streams::Unsplice>("unsplice"),
                        InstanceMethod<&Streams::Addresses>("addresses"),
                        InstanceMethod<&Streams::List>("list"),
                        InstanceMethod<&Streams::EndAll>("endAll"),
                        InstanceMethod<&Streams::Close>("close"),
                        InstanceMethod<&Streams::Connections>("connections"),
                        InstanceMethod<&Streams::Statistics>("statistics")});
  }

  // new StreamEngine(settings, views, onTurn()): see lib/native.ts
  explicit Streams(const Napi::CallbackInfo& info)
      : ObjectWrap(info), env_(info.Env()), callback_(info.Env(), "RssStreamEngine") {
    auto settings = info[0].As<Napi::Object>();
    auto views = info[1].As<Napi::Object>();
    StreamOptions options;
    auto table = FindBucketTable(static_cast<uint32_t>(IntFromJs(settings.Get("table"))));
    size_t buckets = table == nullptr ? 0 : table->classifier().config().buckets();
    options.worker = static_cast<size_t>(IntFromJs(settings.Get("worker")));
    options.max_input = static_cast<size_t>(IntFromJs(settings.Get("maxInput")));
    options.max_queued = static_cast<size_t>(IntFromJs(settings.Get("maxQueued")));
    options.max_queued_total = static_cast<size_t>(NumberFromJs(settings.Get("maxQueuedTotal")));
    options.idle_timeout = static_cast<uint64_t>(IntFromJs(settings.Get("idleTimeout")));
    options.half_open = BoolFromJs(settings.Get("allowHalfOpen"));
    options.zero_copy = static_cast<ZeroCopy>(IntFromJs(settings.Get("zeroCopy")));
    options.reference_size = static_cast<size_t>(IntFromJs(settings.Get("referenceSize")));
    bool valid = table != nullptr && options.worker < static_cast<size_t>(table->workers()) &&
                 slab_.Hold(views.Get("slab"), options.max_input + StreamEngine::kMostExtra) &&
                 inputs_.Hold(views.Get("inputs"), kWords<InputRow>) &&
                 outputs_.Hold(views.Get("outputs"), kWords<OutputRow>) &&
                 opened_.Hold(views.Get("opened"), kWords<OpenedRow>) &&
                 closed_.Hold(views.Get("closed"), kWords<ClosedRow>) &&
                 completed_.Hold(views.Get("completed"), kWords<CompletedRow>) &&
                 spliced_.Hold(views.Get("spliced"), kWords<SplicedRow>) &&
                 turn_.Hold(views.Get("turn"), kWords<TurnRow>) &&
                 unsent_.Hold(views.Get("unsent"), 1) &&
                 counters_.Hold(settings.Get("counters"), buckets * kCounterStride) &&
                 refusals_.Hold(settings.Get("refusals"), kRefusals);
    if (!valid) {
      Napi::TypeError::New(env_, "StreamEngine: no such bucket table, or a view is too small")
          .ThrowAsJavaScriptException();
      return;
    }
    on_turn_ = Napi::Persistent(info[2].As<Napi::Function>());
    options.slab = slab_.data;
    options.slab_size = slab_.length;
    options.inputs = reinterpret_cast<InputRow*>(inputs_.data);
    options.input_rows = inputs_.length / kWords<InputRow>;
    options.opened = reinterpret_cast<OpenedRow*>(opened_.data);
    options.closed = reinterpret_cast<ClosedRow*>(closed_.data);
    options.completed = reinterpret_cast<CompletedRow*>(completed_.data);
    options.spliced = reinterpret_cast<SplicedRow*>(spliced_.data);
    options.event_rows =
        std::min({opened_.length / kWords<OpenedRow>, closed_.length / kWords<ClosedRow>,
                  completed_.length / kWords<CompletedRow>, spliced_.length / kWords<SplicedRow>});
    options.counters = reinterpret_cast<BucketCounters*>(counters_.data);
    options.refusals = reinterpret_cast<RefusalCounts*>(refusals_.data);
    uv_loop_t* loop = nullptr;
    napi_get_uv_event_loop(env_, &loop);
    engine_ = std::make_unique<StreamEngine>(loop, std::move(table), options, this);
    engine_->AddBuffer(slab_.data, slab_.length);  // OutputRow::kInSlab
    // A libuv handle that is left open when its thread ends aborts the process.
    napi_add_env_cleanup_hook(env_, CleanUp, this);
    hooked_ = true;
  }

  ~Streams() override {
    if (hooked_) napi_remove_env_cleanup_hook(env_, CleanUp, this);
    if (engine_ != nullptr) engine_->Close();
  }

  StreamEngine* engine() { return engine_.get(); }

  void OnTurn(const TurnRow& turn) override {
    *reinterpret_cast<TurnRow*>(turn_.data) = turn;
    if (callback_.Call(on_turn_)) Send();
  }

 private:
  static void CleanUp(void* self) {
    auto* streams = static_cast<Streams*>(self);
    streams->hooked_ = false;
    streams->engine_->Close();
  }

  // Sends the rows that JavaScript has collected. Their number is in `unsent`, so that it is known
  // after an exception, too.
  void Send() {
    size_t count = std::min<size_t>(unsent_.data[0], outputs_.length / kWords<OutputRow>);
    unsent_.data[0] = 0;
    const auto* rows = reinterpret_cast<const OutputRow*>(outputs_.data);
    auto refers = [](const OutputRow& row) {
      return row.source > OutputRow::kOutSlab && row.source < OutputRow::kAcknowledged;
    };
    // The user may have transferred a buffer in the meantime. The first is the library's own.
    if (lent_.size() > 1 && std::any_of(rows, rows + count, refers))
      for (size_t i = 1; i < lent_.size(); ++i)
        if (lent_[i].view.Length() == 0) engine_->EmptyBuffer(lent_[i].number);
    engine_->Flush(rows, count);
  }

  Napi::Value Flush(const Napi::CallbackInfo& info) {
    Send();
    return info.Env().Undefined();
  }

  // check(row): why the output row would be refused, as an index of kRefusalNames plus 1; 0: it is
  // not
  Napi::Value Check(const Napi::CallbackInfo& info) {
    size_t row = info[0].As<Napi::Number>().Uint32Value();
    const auto* rows = reinterpret_cast<const OutputRow*>(outputs_.data);
    Refusal refusal =
        row < outputs_.length / kWords<OutputRow> ? engine_->Check(rows[row]) : Refusal::kNone;
    return Napi::Number::New(info.Env(), static_cast<double>(refusal));
  }

  // addBuffer(uint8array): its index for output rows. The engine keeps it alive.
  Napi::Value AddBuffer(const Napi::CallbackInfo& info) {
    Lent lent;
    if (!lent.view.Hold(info[0], 0)) return info.Env().Undefined();
    lent.number = engine_->AddBuffer(lent.view.data, lent.view.length);
    lent_.push_back(std::move(lent));
    return Napi::Number::New(info.Env(), lent_.back().number);
  }

  // addSegment(id): its index for output rows, or a failure
  Napi::Value AddSegment(const Napi::CallbackInfo& info) {
    auto source = std::make_shared<SendSource>();
    auto segment = SegmentFromJs(info[0]);
    if (!segment.ok()) return ToJs(info.Env(), segment.failure);
    source->segment = std::move(*segment);
    return Napi::Number::New(info.Env(), engine_->AddSource(std::move(source)));
  }
  // addFile(fd, base, flags, background): the same; the descriptor is duplicated
  Napi::Value AddFile(const Napi::CallbackInfo& info) {
    auto source = std::make_shared<SendSource>();
    source->base = static_cast<uint64_t>(NumberFromJs(info[1]));
    ReadFileFlags(info[2].As<Napi::Object>(), &source->how);
    Status opened = source->OpenFile(IntFromJs(info[0]), BoolFromJs(info[3]));
    if (!opened.ok()) return ToJs(info.Env(), opened.failure);
    return Napi::Number::New(info.Env(), engine_->AddSource(std::move(source)));
  }
  Napi::Value RemoveSource(const Napi::CallbackInfo& info) {
    engine_->RemoveSource(static_cast<uint32_t>(IntFromJs(info[0])));
    return info.Env().Undefined();
  }
  // leavesHost(connection): whether its peer is certainly on another machine; undefined while that
  // is not known yet
  Napi::Value LeavesHost(const Napi::CallbackInfo& info) {
    using Peer = StreamConnection::Peer;
    Peer peer = engine_->PeerOf(static_cast<uint32_t>(IntFromJs(info[0])));
    if (peer == Peer::kUnknown) return info.Env().Undefined();
    return Napi::Boolean::New(info.Env(), peer == Peer::kElsewhere);
  }

  // connectTcp(how), connectUnix(path): the connection's id, or a failure
  Napi::Value ConnectTcp(const Napi::CallbackInfo& info) {
    auto how = ConnectingFromJs(Transport::kTcp, info[0]);
    if (!how.ok()) return ToJs(info.Env(), how.failure);
    return ToJs(info.Env(), engine_->Connect(*how));
  }
  Napi::Value ConnectUnix(const Napi::CallbackInfo& info) {
    return ToJs(info.Env(), engine_->Connect(rss::ConnectUnix(TextFromJs(info[0])), true));
  }

  // setTls(options): undefined, or a failure
  Napi::Value SetTls(const Napi::CallbackInfo& info) {
    return ToJs(info.Env(), engine_->SetTls(TlsFromJs(info[0].As<Napi::Object>())));
  }

  // retire(): a ticket; passed(ticket): whether all turns that began before it have ended
  Napi::Value Retire(const Napi::CallbackInfo& info) {
    return Napi::Number::New(info.Env(), static_cast<double>(engine_->epochs().Retire()));
  }
  Napi::Value Passed(const Napi::CallbackInfo& info) {
    auto ticket = static_cast<uint64_t>(info[0].As<Napi::Number>().Int64Value());
    return Napi::Boolean::New(info.Env(), engine_->epochs().Passed(ticket));
  }

  // detach(id, withRow): { fd, bucket, input, output }, or a failure. The descriptor is the
  // caller's.
  Napi::Value Detach(const Napi::CallbackInfo& info) {
    Napi::Env env = info.Env();
    auto result = engine_->Detach(static_cast<uint32_t>(IntFromJs(info[0])), BoolFromJs(info[1]));
    if (!result.ok()) return ToJs(env, result.failure);
    StreamEngine::Detached& detached = *result;
    Napi::Object out = Napi::Object::New(env);
    const ByteQueue &input = detached.input, &output = detached.output;
    out.Set("input", Napi::Buffer<uint8_t>::Copy(env, input.data(), input.size()));
    out.Set("output", Napi::Buffer<uint8_t>::Copy(env, output.data(), output.size()));
    out.Set("bucket", detached.bucket);
    out.Set("accepted", detached.accepted);
    out.Set("fd", detached.fd.release());
    return out;
  }

  // attach(fd, bucket, accepted, input): the connection's id, or a failure
  Napi::Value Attach(const Napi::CallbackInfo& info) {
    auto input = ElementsFromJs<uint8_t>(info[3]);
    return ToJs(info.Env(), engine_->Attach(IntFromJs(info[0]), IntFromJs(info[1]),
                                            BoolFromJs(info[2]), input.data, input.length));
  }

  // splice(first, second, idle, max): the token of its rows, or a failure
  Napi::Value Splice(const Napi::CallbackInfo& info) {
    return ToJs(info.Env(),
                engine_->Splice(static_cast<uint32_t>(IntFromJs(info[0])),
                                static_cast<uint32_t>(IntFromJs(info[1])),
                                static_cast<uint64_t>(IntFromJs(info[2])), NumberFromJs(info[3])));
  }
  // unsplice(id): whether it was spliced
  Napi::Value Unsplice(const Napi::CallbackInfo& info) {
    return ToJs(info.Env(), engine_->Unsplice(static_cast<uint32_t>(IntFromJs(info[0]))));
  }

  // addresses(id): { local, peer }, or a failure
  Napi::Value Addresses(const Napi::CallbackInfo& info) {
    SocketAddress local, peer;
    Status status = engine_->Addresses(static_cast<uint32_t>(IntFromJs(info[0])), &local, &peer);
    if (!status.ok()) return ToJs(info.Env(), status.failure);
    Napi::Object out = Napi::Object::New(info.Env());
    if (local.family() == AF_UNIX) return out;
    out.Set("local", ToJs(info.Env(), local));
    out.Set("peer", ToJs(info.Env(), peer));
    return out;
  }

  // list(slot, count): { rows, next }; see lib/native.ts
  Napi::Value List(const Napi::CallbackInfo& info) {
    Napi::Env env = info.Env();
    int64_t slot = IntFromJs(info[0]);
    auto listed = engine_->List(&slot, static_cast<size_t>(IntFromJs(info[1])));
    auto rows = Napi::Array::New(env, listed.size());
    for (size_t i = 0; i < listed.size(); ++i) {
      Napi::Object row = FactsOf(env, listed[i].fd, engine_->classifier(), listed[i].bytes);
      row.Set("bucket", listed[i].bucket);
      row.Set("accepted", listed[i].accepted);
      row.Set("ageMs", static_cast<double>(listed[i].age_ms));
      rows.Set(static_cast<uint32_t>(i), row);
    }
    Napi::Object out = Napi::Object::New(env);
    out.Set("rows", rows);
    out.Set("next", static_cast<double>(slot));
    return out;
  }

  Napi::Value EndAll(const Napi::CallbackInfo& info) {
    engine_->EndAll();
    return info.Env().Undefined();
  }
  Napi::Value Close(const Napi::CallbackInfo& info) {
    engine_->Close();
    return info.Env().Undefined();
  }
  Napi::Value Connections(const Napi::CallbackInfo& info) {
    return Napi::Number::New(info.Env(), static_cast<double>(engine_->connections()));
  }
  Napi::Value Statistics(const Napi::CallbackInfo& info) {
    StreamStatistics now = engine_->statistics();
    Napi::Object out = Napi::Object::New(info.Env());
    out.Set("connections", now.connections);
    out.Set("queued", now.queued);
    out.Set("callbacks", now.callbacks);
    out.Set("reads", now.reads);
    out.Set("writes", now.writes);
    out.Set("shortWrites", now.short_writes);
    out.Set("bytesShared", now.bytes_shared);
    out.Set("turns", now.turns);
    out.Set("splices", now.splices);
    out.Set("pipes", now.pipes);
    out.Set("bytesSpliced", now.bytes_spliced);
    out.Set("fileReads", now.file_reads);
    return out;
  }

  napi_env env_;
  Callback callback_;
  View<uint8_t> slab_;
  View<uint32_t> inputs_, outputs_, opened_, closed_, completed_, spliced_, turn_, unsent_;
  View<double> counters_, refusals_;
  struct Lent {
    View<uint8_t> view;
    uint32_t number = 0;
  };
  std::vector<Lent> lent_;
  Napi::FunctionReference on_turn_;
  std::unique_ptr<StreamEngine> engine_;
  bool hooked_ = false;
};

}  // namespace

StreamEngine* StreamEngineFromJs(Napi::Value value) {
  return value.IsObject() ? Streams::Unwrap(value.As<Napi::Object>())->engine() : nullptr;
}

void RegisterStreamEngine(Napi::Env env, Napi::Object exports) {
  Export(env, exports, "checkTls", CheckTls);
  exports.Set("StreamEngine", Streams::Define(env));
}

}  // namespace rss
