#include "engine/datagram_engine.h"

#include <string.h>

#include <algorithm>
#include <utility>

#include "platform/platform.h"
#include "platform/posix/flow_socket.h"
#include "platform/posix/stream.h"

namespace rss {
namespace {

bool CanBeSource(const SocketAddress& address) {
  SocketAddress a = address.Unmapped();
  if (a.family() == AF_INET6) return !IN6_IS_ADDR_MULTICAST(&a.v6.sin6_addr);
  uint32_t host = ntohl(a.v4.sin_addr.s_addr);
  return !IN_MULTICAST(host) && host != INADDR_BROADCAST;
}

bool IsEmpty(int received) {
  return received == -EAGAIN || received == -EWOULDBLOCK || received == 0;
}

bool IsFull(int sent) {
  return sent == -EAGAIN || sent == -ENOBUFS;
}

// Without the payload: see ReadForwarded().
ForwardedDatagram ForwardedOf(const ReceivedDatagram& row) {
  ForwardedDatagram datagram;
  datagram.flow = row.flow;
  datagram.kernel = row.info.flow;
  datagram.peer = row.peer;
  if (row.info.has_destination) datagram.local = row.info.destination;
  datagram.endpoint = row.endpoint;
  return datagram;
}

// Describes a datagram of a promoted flow.
void DescribeAs(const ReceivedDatagram& flow, ReceivedDatagram* row) {
  row->flow = flow.flow;
  row->endpoint = flow.endpoint;
  row->connected = 0;
  row->peer = flow.peer;
  row->info = flow.info;
}

}  // namespace

struct DatagramEngine::BoundSocket final : PolledSocket {
  BoundSocket(DatagramEngine* engine, DuplicatedSocket socket, int endpoint, bool receive)
      : PolledSocket(std::move(socket.fd)),
        engine(engine),
        address(socket.kind.address),
        endpoint(endpoint),
        receive(receive) {}
  void OnReadable() override { engine->Receive(this); }

  DatagramEngine* engine;
  SocketAddress address;
  int endpoint;
  bool receive;
};

struct DatagramEngine::ConnectedSocket final : PolledSocket {
  ConnectedSocket(DatagramEngine* engine, UniqueFd fd)
      : PolledSocket(std::move(fd)), engine(engine) {}
  void OnReadable() override { engine->ReceiveConnected(this); }

  DatagramEngine* engine;
  uint32_t id = 0;
  SocketAddress local, peer;
  Flow flow;               // of all datagrams from the peer
  bool predicted = false;  // the kernel has not confirmed `flow` yet
  uint32_t dropped = 0;    // datagrams that it has lost and that are counted
};

// The socket that sends a reply. Both pointers are null once it has been closed.
struct DatagramEngine::Outlet {
  const BoundSocket* bound = nullptr;
  const ConnectedSocket* connected = nullptr;

  bool operator==(const Outlet& other) const {
    return bound == other.bound && connected == other.connected;
  }
};

DatagramEngine::DatagramEngine(const EngineContext& context, const DatagramOptions& options,
                               MisdirectionLog* log, PlacementSampler* sampler, DatagramSink* sink)
    : context_(context),
      options_(options),
      log_(log),
      sampler_(sampler),
      sink_(sink),
      turn_end_(this),
      rows_(kDatagramBatch),
      errors_due_(this) {
  uv_check_init(context_.loop, turn_end_.get());
  turn_end_.set_initialized();
  uv_idle_init(context_.loop, errors_due_.get());
  errors_due_.set_initialized();
  PromotedReader* reader = this;
  if (options_.promotion.after > 0)
    promoted_ = std::make_unique<PromotedSockets>(context_, options_.promotion, reader);
}

DatagramEngine::~DatagramEngine() = default;

// --- Sockets -------------------------------------------------------------------------------------

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
    while (PromotedSocket* socket = promoted_->oldest()) {
      ReceivedDatagram flow = socket->flow;
      PassedSocket passed = promoted_->Release(socket);
      if (!Pass(flow, &passed)) Abandon(flow, passed.fd.get());
    }
  }
  turn_end_.Close();
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

// --- Input ---------------------------------------------------------------------------------------

void DatagramEngine::Receive(BoundSocket* socket) {
  DeliverConnected();
  if (closed_) return;
  for (int batch = 0; batch < kBatchesPerTurn; ++batch) {
    int received = ReceiveBatch(*socket, socket->fd(), nullptr);
    if (closed_) return;
    if (received >= 0 ? received < kDatagramBatch : IsEmpty(received)) break;
  }
  if (promoted_ == nullptr) return;
  // More flows become due while those before are promoted.
  for (int batch = 0; promoted_->has_due() && batch < kBatchesPerTurn; ++batch) {
    PromoteDue(*socket);
    if (closed_) return;
  }
  (void)promoted_->TakeDue();  // the next call may be for another socket
}

// Reads datagrams that were sent to a bound socket, and serves or forwards them. `fd`: the socket
// that has them, if `destination` is given without control messages. Returns their number or
// -errno; an ICMP error is cleared by this call.
int DatagramEngine::ReceiveBatch(const BoundSocket& socket, int fd,
                                 const SocketAddress* destination) {
  int received =
      batcher_.Receive(fd, 0, options_.slab, options_.stride, options_.cell_size, rows_.data());
  size_t count = 0;
  uint32_t moves = context_.table->moves();
  bool alive = true;
  for (int i = 0; i < received; ++i) {
    ReceivedDatagram& row = rows_[i];
    row.endpoint = socket.endpoint;
    row.connected = 0;
    if (destination != nullptr) {
      row.info.has_destination = true;
      row.info.destination = *destination;
      if (socket.address.family() == AF_INET6) row.peer = row.peer.Mapped();
    }
    if (!Classify(&row, socket) || !alive) {
      // Its bucket may have moved since the rows before were classified. They come first.
      if (count > 0 && context_.table->moves() != moves) {
        context_.table->WakeOwners(context_.worker);
        alive = Serve(count);
        if (closed_) return received;
        count = 0;
      }
      if (Forward(row)) {
        if (promoted_ != nullptr) promoted_->CountForwarded(row);
        continue;
      }
    }
    if (count != static_cast<size_t>(i)) rows_[count] = row;
    ++count;
  }
  context_.table->WakeOwners(context_.worker);
  if (count > 0) {
    sampler_->OnBatch(-1, rows_[0].flow);
    alive = Serve(count) && alive;
  }
  if (!alive) Close();
  return received;
}

// False when the thread is being terminated, and JavaScript has not seen the rows: they are put
// into the inboxes, for the worker that replaces this one.
bool DatagramEngine::Serve(size_t count) {
  CountServed(count, 1);
  if (sink_->OnDatagrams(count)) return true;
  CountServed(count, -1);
  ReturnRows(count);
  return false;
}

void DatagramEngine::ReturnRows(size_t count) {
  for (size_t i = 0; i < count; ++i)
    if (rows_[i].connected == 0) (void)Forward(rows_[i]);
  context_.table->WakeOwners(context_.worker);
}

// `times`: -1 takes it back.
void DatagramEngine::CountServed(size_t count, int times) {
  for (size_t i = 0; i < count; ++i) {
    const ReceivedDatagram& row = rows_[i];
    BucketCounters& counter = context_.counter(row.flow.bucket);
    if (row.truncated) counter.datagrams_truncated += times;
    counter.datagrams_in += times;
    counter.bytes_in += static_cast<double>(row.length) * times;
  }
}

// Finds the flow of a datagram. False when it must go through the inbox of its bucket.
bool DatagramEngine::Classify(ReceivedDatagram* row, const BoundSocket& socket) {
  SocketAddress local = socket.address;
  if (row->info.has_destination) {
    local = row->info.destination;
    local.set_port(socket.address.port());
  }
  BucketTable& table = *context_.table;
  row->flow = table.classifier().Classify(Transport::kUdp, row->info.flow, row->peer, local);
  table.samples().Add(Transport::kUdp, row->info.flow, row->peer, local);
  if (table.classifier().lacks_id(row->flow)) context_.counter(row->flow.bucket).without_id += 1;
  if (table.ServesDirectly(row->flow.bucket, context_.worker)) return true;
  if (!context_.owns(row->flow.bucket)) log_->Add(Transport::kUdp, row->flow, row->peer, local);
  return !options_.forward;
}

// Puts a datagram into the inbox of its bucket. False when the inbox is full: it is served here,
// ahead of those that wait there.
bool DatagramEngine::Forward(const ReceivedDatagram& row) {
  ForwardedDatagram datagram = ForwardedOf(row);
  datagram.length = row.length;
  datagram.truncated = row.truncated;
  const uint8_t* payload = options_.slab + row.cell * options_.stride;
  BucketCounters& counter = context_.counter(row.flow.bucket);
  bool own = context_.owns(row.flow.bucket);
  if (!context_.table->PushDatagram(row.flow.bucket, context_.worker, datagram, payload)) {
    counter.inbox_full += 1;
    return false;
  }
  if (!own) counter.datagrams_forwarded += 1;
  return true;
}

bool DatagramEngine::DeliverForwarded() {
  bool more = true;
  for (int batch = 0; more && !closed_ && batch < kBatchesPerTurn; ++batch) {
    DeliverConnected();  // its rows and cells are needed
    if (closed_) break;
    more = context_.table->DrainDatagrams(context_.worker, kDatagramBatch, this);
    size_t count = std::exchange(forwarded_, 0);
    CountServed(count, 1);
    if (count > 0 && !sink_->OnDatagrams(count)) {
      CountServed(count, -1);
      passed_.clear();
      context_.table->Undelivered(context_.worker);
      Close();
      return false;
    }
    if (!passed_.empty()) AdoptPassed();
    context_.table->Delivered(context_.worker);
  }
  return more && !closed_;
}

void DatagramEngine::OnForwarded(const ForwardedDatagram& datagram, const uint8_t* payload) {
  if (datagram.passed != 0) {
    passed_.push_back(datagram);
    return;
  }
  ReceivedDatagram& row = rows_[forwarded_];
  ReadForwarded(datagram, &row);
  row.cell = static_cast<uint32_t>(forwarded_);
  row.length = datagram.length;
  row.truncated = datagram.truncated;
  if (row.length > 0) memcpy(options_.slab + row.cell * options_.stride, payload, row.length);
  ++forwarded_;
}

void DatagramEngine::ReadForwarded(const ForwardedDatagram& from, ReceivedDatagram* row) const {
  row->flow = from.flow;
  row->endpoint = from.endpoint;
  row->connected = 0;
  row->peer = from.peer;
  row->info = DatagramInfo();
  row->info.flow = from.kernel;
  row->info.has_destination = from.local.family() != 0;
  row->info.destination = from.local;
}

// --- Promoted flows ------------------------------------------------------------------------------

void DatagramEngine::PromoteDue(const BoundSocket& socket) {
  for (const ReceivedDatagram& flow : promoted_->TakeDue()) {
    if (!context_.owns(flow.flow.bucket)) Promote(socket, flow);
    if (closed_) return;
    promoted_->Forget(flow);  // what has been read meanwhile is older than the socket
  }
}

// Opens a socket for a flow, reads all that is older, and passes the socket to the owner. Where the
// new socket takes the datagrams of all peers until it is connected, the bound socket gets none in
// this time: it is read before, and the new socket afterwards. Elsewhere the flow's last datagrams
// in the bound socket are those from before connect(2).
void DatagramEngine::Promote(const BoundSocket& socket, const ReceivedDatagram& flow) {
  SocketAddress local = flow.info.has_destination ? flow.info.destination : socket.address;
  if (!CanBeSource(local)) return;
  local = local.Unmapped();
  local.set_port(socket.address.port());
  auto opened = OpenFlowSocket(socket.fd(), local);
  if (!opened.ok()) return GiveUp(opened.failure);
  PassedSocket own{std::move(*opened)};
  const int fd = own.fd.get();
  const bool takes_all = TakesAllUntilConnected();
  if (takes_all) ReadQueued(socket, socket.fd(), nullptr);
  if (closed_) return;
  Status status = ConnectFlowSocket(fd, flow.peer.Unmapped());
  if (!status.ok()) LeaveFlow(fd);
  if (takes_all)
    ReadQueued(socket, fd, &flow.info.destination);
  else
    ReadQueued(socket, socket.fd(), nullptr);
  if (closed_) return;
  if (!status.ok()) return GiveUp(status.failure);
  if (Pass(flow, &own)) {
    promoted_->counts().ever += 1;
    return;
  }
  promoted_->counts().without_room += 1;
  LeaveFlow(fd);
  ReadQueued(socket, fd, &flow.info.destination);
}

// Reads what is queued by now, but no later datagrams without end.
void DatagramEngine::ReadQueued(const BoundSocket& socket, int fd,
                                const SocketAddress* destination) {
  const SocketAddress* given = socket.address.is_unspecified() ? destination : nullptr;
  for (int left = MostQueued(fd); left > 0 && !closed_;) {
    int received = ReceiveBatch(socket, fd, given);
    if (received >= 0 ? received < kDatagramBatch : IsEmpty(received)) return;
    left -= std::max(received, 1);
  }
}

void DatagramEngine::GiveUp(const Failure& failure) {
  bool descriptors = failure.error == -EMFILE || failure.error == -ENFILE;
  PromotionCounts& counts = promoted_->counts();
  (descriptors ? counts.without_descriptor : counts.without_address) += 1;
}

// Puts a socket into the inbox of its bucket, behind what has been forwarded. False when there is
// no room; the socket then stays here.
bool DatagramEngine::Pass(const ReceivedDatagram& flow, PassedSocket* passed) {
  PassedSockets& sockets = context_.table->passed();
  ForwardedDatagram stand_in = ForwardedOf(flow);
  stand_in.passed = sockets.Put(std::move(*passed), closed_ ? SIZE_MAX : PassedSockets::kMost);
  if (stand_in.passed == 0) return false;
  uint32_t ticket = stand_in.passed;
  if (!context_.table->PushDatagram(flow.flow.bucket, context_.worker, stand_in, nullptr)) {
    *passed = sockets.Take(ticket);
    return false;
  }
  context_.table->WakeOwners(context_.worker);
  return true;
}

// The worker ends, and no other one can take the socket: what waits in it is lost.
void DatagramEngine::Abandon(const ReceivedDatagram& flow, int fd) {
  LeaveFlow(fd);
  for (int left = MostQueued(fd); left > 0;) {
    int received = batcher_.ReceiveConnected(fd, 0, options_.slab, options_.stride,
                                             options_.cell_size, rows_.data());
    if (received <= 0) return;
    context_.counter(flow.flow.bucket).promoted_drops += received;
    left -= received;
  }
}

void DatagramEngine::AdoptPassed() {
  for (const ForwardedDatagram& one : std::exchange(passed_, {})) {
    PassedSocket passed = context_.table->passed().Take(one.passed);
    ReceivedDatagram flow;
    ReadForwarded(one, &flow);
    if (passed.fd) (void)promoted_->Add(&passed, flow);
    if (closed_ && passed.fd && !Pass(flow, &passed)) Abandon(flow, passed.fd.get());
  }
  if (!options_.forward && !closed_) SetForwarding(false);
}

// Reads one batch, so that no flow starves another.
void DatagramEngine::OnPromotedReadable(PromotedSocket* socket) {
  if (options_.forward && !context_.owns(socket->flow.flow.bucket)) socket = PassOn(socket);
  if (socket == nullptr) return;
  promoted_->Touch(socket);
  socket->WatchEdges(context_.loop);
  (void)ReadPromoted(*socket);  // an ICMP error is cleared
}

// Passes a socket whose bucket has moved, with all that waits in it. Returns it if there is no
// room: this worker then goes on reading it.
PromotedSocket* DatagramEngine::PassOn(PromotedSocket* socket) {
  DeliverConnected();
  if (closed_) return nullptr;
  ReceivedDatagram flow = socket->flow;
  PassedSocket passed = promoted_->Release(socket);
  return Pass(flow, &passed) ? nullptr : promoted_->Add(&passed, flow);
}

// Returns the number of datagrams, or -errno.
int DatagramEngine::ReadPromoted(const PromotedSocket& socket) {
  const ReceivedDatagram& flow = socket.flow;
  const bool named = TakesAllUntilConnected();
  const int first = static_cast<int>(waiting_);
  int received = named
                     ? batcher_.Receive(socket.fd(), first, options_.slab, options_.stride,
                                        options_.cell_size, rows_.data())
                     : batcher_.ReceiveConnected(socket.fd(), first, options_.slab, options_.stride,
                                                 options_.cell_size, rows_.data());
  bool full = received == kDatagramBatch - first;
  if (full || (received < 0 && !IsEmpty(received))) socket.ReportAgain(context_.loop);
  if (received <= 0) return received;
  sampler_->OnBatch(socket.fd(), flow.flow);
  bool direct =
      !options_.forward || context_.table->ServesDirectly(flow.flow.bucket, context_.worker);
  // What waits may be of this flow, and is older than what is forwarded now.
  if (!direct) DeliverConnected();
  if (closed_) return received;
  const size_t end = static_cast<size_t>(first) + static_cast<size_t>(received);
  const SocketAddress peer = flow.peer.Unmapped();
  size_t served = waiting_;
  for (size_t i = static_cast<size_t>(first); i < end; ++i) {
    ReceivedDatagram& row = rows_[i];
    bool served_here = direct;
    if (named && row.peer != peer)
      served_here = ClassifyStray(&row, flow);
    else
      DescribeAs(flow, &row);
    if (!served_here && Forward(row)) continue;
    if (served != i) rows_[served] = row;
    ++served;
  }
  if (served < end) context_.table->WakeOwners(context_.worker);
  if (served == waiting_) return received;
  if (waiting_ == 0) uv_check_start(turn_end_.get(), OnTurnEnd);
  waiting_ = served;
  // The cells of rows that have changed their place may not be read into.
  if (served < end || waiting_ == kDatagramBatch) DeliverConnected();
  return received;
}

// Another peer's datagram has come to a promoted socket: the kernel chose the socket before it was
// connected, and queued the datagram afterwards. Returns false when it must be forwarded.
bool DatagramEngine::ClassifyStray(ReceivedDatagram* row, const ReceivedDatagram& flow) {
  const BoundSocket& socket = *BoundOf(flow.endpoint);
  row->endpoint = flow.endpoint;
  row->connected = 0;
  row->info = DatagramInfo();
  row->info.has_destination = flow.info.has_destination;
  row->info.destination = flow.info.destination;
  if (socket.address.family() == AF_INET6) row->peer = row->peer.Mapped();
  return Classify(row, socket);
}

void DatagramEngine::ReadRest(const PromotedSocket& socket) {
  for (int left = MostQueued(socket.fd()); left > 0 && !closed_;) {
    int received = ReadPromoted(socket);
    if (IsEmpty(received)) return;
    left -= std::max(received, 1);
  }
}

// --- Connected sockets ---------------------------------------------------------------------------

// Compares the flow of the first datagram with the prediction, and no others: connected sockets
// receive without control messages, which cost as much as the payload.
void DatagramEngine::CheckPrediction(ConnectedSocket* socket) {
  BucketTable& table = *context_.table;
  auto kernel = NextFlow(socket->fd());
  if (!kernel.ok()) {
    if (!IsEmpty(kernel.failure.error)) NoteError(socket->id, kernel.failure.error);
    return;
  }
  socket->predicted = false;
  table.samples().Add(Transport::kUdp, *kernel, socket->peer, socket->local);
  Flow flow = table.classifier().Classify(Transport::kUdp, *kernel, socket->peer, socket->local);
  (void)ReportFlows(socket->fd(), false);
  if (!table.predictor().Check(Transport::kUdp, flow, socket->peer, socket->local))
    context_.counter(flow.bucket).mispredicted += 1;
  if (flow.from_kernel) socket->flow = flow;
}

void DatagramEngine::ReceiveConnected(ConnectedSocket* socket) {
  const uint32_t id = socket->id;
  if (socket->predicted) CheckPrediction(socket);
  for (int batch = 0; batch < kBatchesPerTurn; ++batch) {
    int first = static_cast<int>(waiting_);
    int received = batcher_.ReceiveConnected(socket->fd(), first, options_.slab, options_.stride,
                                             options_.cell_size, rows_.data());
    if (IsEmpty(received)) return;
    if (received < 0) {
      NoteError(id, received);
      continue;
    }
    sampler_->OnBatch(socket->fd(), socket->flow);
    if (waiting_ == 0) uv_check_start(turn_end_.get(), OnTurnEnd);
    for (int i = 0; i < received; ++i) {
      ReceivedDatagram& row = rows_[waiting_++];
      row.connected = id;
      row.endpoint = -1;
      row.peer = socket->peer;
      row.flow = socket->flow;
      row.info = DatagramInfo();
    }
    if (waiting_ < kDatagramBatch) return;
    DeliverConnected();
    if (ConnectedOf(id) != socket) return;  // the callback has closed it
  }
}

void DatagramEngine::OnTurnEnd(uv_check_t* check) {
  if (check->data != nullptr) static_cast<DatagramEngine*>(check->data)->DeliverConnected();
}

void DatagramEngine::DeliverConnected() {
  if (waiting_ == 0) return;
  uv_check_stop(turn_end_.get());
  // Drops rows of connected sockets that have been closed in the meantime.
  auto end = std::remove_if(rows_.begin(), rows_.begin() + static_cast<ptrdiff_t>(waiting_),
                            [this](const ReceivedDatagram& row) {
                              return row.connected != 0 && ConnectedOf(row.connected) == nullptr;
                            });
  waiting_ = 0;
  auto count = static_cast<size_t>(end - rows_.begin());
  if (count > 0 && !Serve(count)) Close();
}

// Errors come while datagrams are read or sent, also by JavaScript, and are delivered in the next
// turn of the loop.
void DatagramEngine::NoteError(uint32_t connected, int error) {
  if (errors_.empty())
    uv_idle_start(errors_due_.get(), [](uv_idle_t* idle) {
      if (idle->data != nullptr) static_cast<DatagramEngine*>(idle->data)->DeliverErrors();
    });
  errors_.push_back({connected, error});
}

void DatagramEngine::DeliverErrors() {
  uv_idle_stop(errors_due_.get());
  std::vector<SocketError> errors;
  errors.swap(errors_);
  for (const SocketError& one : errors)
    if (!closed_ && ConnectedOf(one.connected) != nullptr)
      sink_->OnDatagramError(one.connected, one.error);
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

// --- Output --------------------------------------------------------------------------------------

DatagramEngine::Outlet DatagramEngine::OutletOf(const DatagramReply& reply) const {
  if (reply.target != nullptr) return {BoundOf(reply.target->endpoint), nullptr};
  uint32_t id = reply.connected != 0 ? reply.connected : rows_[reply.row].connected;
  if (id != 0) return {nullptr, ConnectedOf(id)};
  return {BoundOf(rows_[reply.row].endpoint), nullptr};
}

int DatagramEngine::BucketOf(const DatagramReply& reply, const Outlet& outlet) const {
  if (reply.target != nullptr) return reply.target->bucket;
  return outlet.connected != nullptr ? outlet.connected->flow.bucket : rows_[reply.row].flow.bucket;
}

bool DatagramEngine::Resolve(DatagramTarget* target) const {
  const BoundSocket* socket = BoundOf(target->endpoint);
  if (socket == nullptr) return false;
  BucketTable& table = *context_.table;
  SocketAddress local = target->has_source ? target->source : socket->address;
  local.set_port(socket->address.port());
  target->bucket = options_.default_bucket;
  if (target->flow.hash_type != 0) {
    target->bucket = table.classifier().BucketOfHash(target->flow.flow_id, local);
  } else if (!local.is_unspecified()) {
    Flow flow = table.classifier().uses_ids()
                    ? table.predictor().Predict(Transport::kUdp, target->peer, local)
                    : table.classifier().Hash(Transport::kUdp, target->peer, local);
    target->flow = {flow.flow_id, flow.hash_type};
    target->bucket = flow.bucket;
  }
  if (socket->address.family() == AF_INET6) target->peer = target->peer.Mapped();
  return true;
}

Refusal DatagramEngine::Check(uint32_t connected) const {
  if (ConnectedOf(connected) != nullptr) return Refusal::kNone;
  return ids_.MayBeKnown(connected) ? Refusal::kEndedConnection : Refusal::kUnknownConnection;
}

void DatagramEngine::Send(const DatagramReply* replies, size_t count) {
  OutgoingDatagram batch[kDatagramBatch];
  while (count > 0) {
    Outlet outlet = OutletOf(*replies);
    int size = FillBatch(replies, count, outlet, batch);
    SendBatch(replies, outlet, batch, size);
    replies += size;
    count -= static_cast<size_t>(size);
  }
}

// Fills `batch` with the first datagrams that share a socket. Returns their number.
int DatagramEngine::FillBatch(const DatagramReply* replies, size_t count, const Outlet& outlet,
                              OutgoingDatagram* batch) const {
  int most = static_cast<int>(std::min<size_t>(count, kDatagramBatch));
  int size = 0;
  for (; size < most; ++size) {
    const DatagramReply& reply = replies[size];
    if (size > 0 && !(OutletOf(reply) == outlet)) break;
    OutgoingDatagram& out = batch[size];
    out = OutgoingDatagram();
    out.data = reply.data;
    out.length = reply.length;
    if (outlet.bound == nullptr) continue;
    bool wildcard = outlet.bound->address.is_unspecified();
    if (const DatagramTarget* target = reply.target) {
      out.peer = &target->peer;
      out.source = wildcard && target->has_source ? &target->source : nullptr;
      out.flow = target->flow;
      continue;
    }
    const ReceivedDatagram& row = rows_[reply.row];
    const DatagramInfo& info = row.info;
    out.peer = &row.peer;
    bool named = wildcard && info.has_destination && CanBeSource(info.destination);
    out.source = named ? &info.destination : nullptr;
    out.flow = info.flow;
  }
  return size;
}

void DatagramEngine::SendBatch(const DatagramReply* replies, const Outlet& outlet,
                               const OutgoingDatagram* batch, int size) {
  if (outlet == Outlet{}) {
    uint32_t id = replies->connected;
    context_.refusals->Add(id == 0 ? Refusal::kEndedConnection : Check(id),
                           static_cast<size_t>(size));
    return;
  }
  int fd = outlet.bound != nullptr ? outlet.bound->fd() : outlet.connected->fd();
  for (int done = 0; done < size;) {
    int sent = batcher_.Send(fd, batch + done, size - done);
    if (sent < 0 && outlet.connected != nullptr && !IsFull(sent)) {
      // The kernel reports an ICMP error of an earlier datagram instead of sending this one, and
      // clears it by that.
      if (sent != -EMSGSIZE) NoteError(outlet.connected->id, sent);
      sent = batcher_.Send(fd, batch + done, size - done);
    }
    // A full buffer drops the rest, as UDP does; any other error drops one datagram.
    int dropped = sent >= 0 ? 0 : IsFull(sent) ? size - done : 1;
    int moved = std::max(sent, 0);
    if (moved + dropped == 0) return;
    for (int i = done; i < done + moved + dropped; ++i) {
      BucketCounters& counter = context_.counter(BucketOf(replies[i], outlet));
      if (i < done + moved) {
        counter.datagrams_out += 1;
        counter.bytes_out += static_cast<double>(batch[i].length);
      } else {
        counter.datagrams_dropped += 1;
      }
    }
    done += moved + dropped;
  }
}

}  // namespace rss
