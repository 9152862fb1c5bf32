// The sockets of DatagramEngine: how they open and close.
#include "engine/datagram_engine.h"

#include <algorithm>
#include <utility>

#include "engine/datagram_sockets.h"
#include "platform/platform.h"
#include "platform/posix/stream.h"

namespace rss {

DatagramEngine::DatagramEngine(const EngineContext& context, const DatagramOptions& options,
                               MisdirectionLog* log, PlacementSampler* sampler, DatagramSink* sink)
    : context_(context),
      options_(options),
      log_(log),
      sampler_(sampler),
      sink_(sink),
      turn_end_(this),
      rows_(kDatagramBatch),
      pass_due_(this),
      errors_due_(this) {
  uv_check_init(context_.loop, turn_end_.get());
  turn_end_.set_initialized();
  uv_idle_init(context_.loop, pass_due_.get());
  pass_due_.set_initialized();
  uv_idle_init(context_.loop, errors_due_.get());
  errors_due_.set_initialized();
  PromotedReader* reader = this;
  if (options_.promotion.after > 0)
    promoted_ = std::make_unique<PromotedSockets>(context_, options_.promotion, reader);
}

DatagramEngine::~DatagramEngine() = default;

Status DatagramEngine::AddSocket(int fd, int endpoint, bool receive) {
  auto duplicated = DuplicateSocket(fd, Transport::kUdp);
  if (!duplicated.ok()) return duplicated.failure;
  bool bound = !duplicated->kind.address.is_unspecified();
  auto socket = std::make_unique<BoundSocket>(this, std::move(*duplicated), endpoint, receive);
  Status status = socket->Register(context_.loop);
  if (status.ok()) status = EnableDatagramInfo(socket->fd(), bound, options_.flows);
  if (status.ok()) bound_.push_back(std::move(socket));
  return status;
}

Status DatagramEngine::Start() {
  for (auto& socket : bound_) {
    if (!socket->receive) continue;
    Status status = socket->Watch();
    if (!status.ok()) return status;
  }
  return Nothing{};
}

// The process that reads a promoted flow next may be another one. So what its socket has is served
// before it leaves the flow.
void DatagramEngine::SetForwarding(bool forward) {
  options_.forward = forward;
  if (forward || promoted_ == nullptr) return;
  DeliverConnected();
  for (OpenedFlow& one : std::exchange(opened_, {})) {
    // The bound sockets are gone once the engine is closed.
    if (!closed_) ReadQueued(*one.socket, one.own.fd.get(), &one.flow.info.destination);
    if (closed_) {
      (void)PassFirst(&one);
      continue;
    }
    LeaveFlow(one.own.fd.get());
    ReadQueued(*one.socket, one.own.fd.get(), &one.flow.info.destination);
  }
  while (!closed_ && promoted_->oldest() != nullptr) {
    ReadRest(*promoted_->oldest());
    DeliverConnected();
    if (closed_) return;
    promoted_->Close(promoted_->oldest());
    DeliverConnected();
  }
}

void DatagramEngine::StopReceiving() {
  for (auto& socket : bound_) socket->Pause();
}

// Promoted sockets go back to their buckets' inboxes, for the worker that replaces this one, behind
// what has been read of their flows.
void DatagramEngine::Close() {
  if (closed_) return;
  closed_ = true;
  if (promoted_ != nullptr) {
    promoted_->Stop();
    ReturnRows(waiting_);
    for (OpenedFlow& one : std::exchange(opened_, {})) (void)PassFirst(&one);
    while (PromotedSocket* socket = promoted_->oldest()) {
      ReceivedDatagram flow = socket->flow;
      PassedSocket passed = promoted_->Release(socket);
      if (!Pass(flow, &passed)) Abandon(flow, passed.fd.get());
    }
  }
  turn_end_.Close();
  pass_due_.Close();
  errors_due_.Close();
  waiting_ = 0;
  bound_.clear();
  connected_.clear();
}

Result<uint32_t> DatagramEngine::Connect(const Connecting& how) {
  const FlowClassifier& classifier = context_.table->classifier();
  Connecting sized = how;
  sized.datagram_size = static_cast<int>(options_.cell_size);
  auto fd = rss::Connect(sized, &context_.table->predictor());
  if (!fd.ok()) return fd.failure;
  auto socket = std::make_unique<ConnectedSocket>(this, std::move(*fd));
  Status status = ConnectionAddresses(socket->fd(), &socket->local, &socket->peer);
  if (status.ok()) status = socket->Register(context_.loop);
  if (status.ok()) status = socket->Watch();
  if (!status.ok()) return status.failure;
  socket->flow = context_.table->predictor().Predict(Transport::kUdp, socket->peer, socket->local);
  socket->predicted = classifier.uses_ids() && ReportFlows(socket->fd(), true).ok();
  uint32_t id = ids_.Allocate();
  if (id == 0) return MakeFailure(EMFILE, "connect", "too many connected sockets");
  socket->id = id;
  size_t slot = ConnectionIds::SlotOf(id);
  if (slot >= connected_.size()) connected_.resize(slot + 1);
  connected_[slot] = std::move(socket);
  return id;
}

void DatagramEngine::Disconnect(uint32_t id) {
  ConnectedSocket* socket = ConnectedOf(id);
  if (socket == nullptr) return;
  CountDropsOf(socket);
  connected_[ConnectionIds::SlotOf(id)] = nullptr;
  ids_.Free(id);
}

void DatagramEngine::CountDrops() {
  for (size_t i = std::min(kAskedForDrops, connected_.size()); i > 0; --i) {
    ConnectedSocket* socket = connected_[asked_for_drops_++ % connected_.size()].get();
    if (socket != nullptr) CountDropsOf(socket);
  }
}

void DatagramEngine::CountDropsOf(ConnectedSocket* socket) {
  auto dropped = DroppedBySocket(socket->fd());
  if (!dropped.ok()) return;  // FreeBSD counts for the host
  context_.counter(socket->flow.bucket).connected_drops += *dropped - socket->dropped;
  socket->dropped = *dropped;
}

const SocketAddress* DatagramEngine::LocalAddress(uint32_t id) const {
  const ConnectedSocket* socket = ConnectedOf(id);
  return socket == nullptr ? nullptr : &socket->local;
}

DatagramEngine::BoundSocket* DatagramEngine::BoundOf(int endpoint) const {
  for (const auto& socket : bound_)
    if (socket->endpoint == endpoint) return socket.get();
  return nullptr;
}

DatagramEngine::ConnectedSocket* DatagramEngine::ConnectedOf(uint32_t id) const {
  size_t slot = ConnectionIds::SlotOf(id);
  ConnectedSocket* socket = slot < connected_.size() ? connected_[slot].get() : nullptr;
  return socket != nullptr && socket->id == id ? socket : nullptr;
}

SocketAddress DatagramEngine::Destination(size_t i) const {
  const ReceivedDatagram& row = rows_[i];
  if (const SocketAddress* local = LocalAddress(row.connected)) return *local;
  const BoundSocket* socket = BoundOf(row.endpoint);
  SocketAddress local;
  if (row.info.has_destination)
    local = row.info.destination;
  else if (socket != nullptr)
    local = socket->address;
  if (socket != nullptr) local.set_port(socket->address.port());
  return local;
}

}  // namespace rss
