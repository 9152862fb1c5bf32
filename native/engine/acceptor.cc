#include "engine/acceptor.h"

#include "platform/posix/accept.h"

namespace rss {

class Acceptor::Listener final : public PolledSocket {
 public:
  Listener(Acceptor* acceptor, DuplicatedSocket socket)
      : PolledSocket(std::move(socket.fd)),
        has_flows_(socket.kind.family != AF_UNIX),
        acceptor_(acceptor) {}

  bool has_flows() const { return has_flows_; }

 private:
  void OnReadable() override {
    Acceptor* acceptor = acceptor_;  // JavaScript may destroy the listener
    acceptor->Accept(this);
    acceptor->EndPass();
  }

  bool has_flows_;
  Acceptor* acceptor_;
};

Acceptor::Acceptor(const EngineContext& context, const AcceptorOptions& options,
                   MisdirectionLog* log, ConnectionReceiver* receiver, AcceptSink* sink)
    : context_(context),
      options_(options),
      log_(log),
      receiver_(receiver),
      sink_(sink),
      pause_timer_(this) {
  uv_timer_init(context_.loop, pause_timer_.get());
  pause_timer_.set_initialized();
}

Acceptor::~Acceptor() = default;

Status Acceptor::AddListener(int fd) {
  auto socket = DuplicateSocket(fd, Transport::kTcp);
  if (!socket.ok()) return socket.failure;
  auto listener = std::make_unique<Listener>(this, std::move(*socket));
  Status status = listener->Register(context_.loop);
  if (status.ok()) listeners_.push_back(std::move(listener));
  return status;
}

Status Acceptor::Start() {
  for (auto& listener : listeners_) {
    Status status = listener->Watch();
    if (!status.ok()) return status;
  }
  return Nothing{};
}

void Acceptor::Stop(bool queued) {
  CountPause();
  stopping_ = true;
  Listeners last;
  last.swap(listeners_);  // OnAcceptError() may close the acceptor
  for (auto& listener : last) {
    while (queued && !closed_ && Accept(listener.get()) == kAcceptsPerTurn) {
    }
  }
  last.clear();
  EndPass();
}

void Acceptor::Close() {
  closed_ = true;
  pause_timer_.Close();
  listeners_.clear();
}

size_t Acceptor::Accept(Listener* listener) {
  BucketTable& table = *context_.table;
  for (size_t accepted = 0; accepted < kAcceptsPerTurn; ++accepted) {
    Connection connection;
    connection.place = stopping_ ? table.limit().Force() : table.limit().Take();
    if (!connection.place) {
      PauseAtLimit();
      return accepted;
    }
    int error = AcceptConnection(listener->fd(), &connection);
    if (error == -EAGAIN || error == -EWOULDBLOCK) return accepted;
    if (error != 0) {
      Pause(kErrorPauseMs);
      table.WakeOwners(context_.worker);
      sink_->OnAcceptError(error);
      return accepted;
    }
    at_limit_ = false;
    if (listener->has_flows()) {
      KernelFlow kernel;
      if (table.classifier().uses_ids()) {
        kernel = GetKernelFlow(connection.fd.get()).value;
        table.samples().Add(Transport::kTcp, kernel, connection.peer, connection.local);
      }
      connection.flow =
          table.classifier().Classify(Transport::kTcp, kernel, connection.peer, connection.local);
    } else {
      connection.flow.bucket = options_.default_bucket;
    }
    BucketCounters& counter = context_.counter(connection.flow.bucket);
    counter.accepted += 1;
    if (listener->has_flows() && table.classifier().lacks_id(connection.flow))
      counter.without_id += 1;
    if (!listener->has_flows() || !HandOff(&connection)) receiver_->Receive(std::move(connection));
  }
  return kAcceptsPerTurn;
}

// Gives the connection to the owner of its bucket. False: this worker serves it.
bool Acceptor::HandOff(Connection* connection) {
  int bucket = connection->flow.bucket;
  if (context_.owns(bucket)) return false;
  // Nothing is known of the CPU that its packets reach.
  if (!connection->flow.from_kernel && !options_.hand_off_unhashed) return false;
  log_->Add(Transport::kTcp, connection->flow, connection->peer, connection->local);
  if (!options_.hand_off) return false;
  BucketCounters& counter = context_.counter(bucket);
  if (context_.table->PushConnection(bucket, context_.worker, std::move(*connection))) {
    counter.handed_off += 1;
    return true;
  }
  counter.inbox_full += 1;
  return false;
}

void Acceptor::EndPass() {
  context_.table->WakeOwners(context_.worker);
  receiver_->EndPass();
}

void Acceptor::PauseAtLimit() {
  if (!at_limit_) context_.counter(options_.default_bucket).accept_pauses += 1;
  at_limit_ = true;
  paused_since_ = uv_hrtime();
  Pause(kLimitPauseMs);
}

// A listener that stays readable while nothing can be accepted would spin the loop.
void Acceptor::Pause(int milliseconds) {
  for (auto& listener : listeners_) listener->Pause();
  uv_timer_start(
      pause_timer_.get(),
      [](uv_timer_t* timer) {
        if (timer->data != nullptr) static_cast<Acceptor*>(timer->data)->Resume();
      },
      static_cast<uint64_t>(milliseconds), 0);
}

void Acceptor::CountPause() {
  if (paused_since_ == 0) return;
  context_.counter(options_.default_bucket).accept_paused_us +=
      static_cast<double>(uv_hrtime() - paused_since_) / 1000;
  paused_since_ = 0;
}

void Acceptor::Resume() {
  CountPause();
  for (auto& listener : listeners_) (void)listener->Watch();
}

}  // namespace rss
