#include "engine/stream_engine.h"

#include <fcntl.h>

#include <algorithm>

namespace rss {

StreamEngine::StreamEngine(uv_loop_t* loop, std::shared_ptr<BucketTable> table,
                           const StreamOptions& options, StreamSink* sink)
    : loop_(loop),
      table_(std::move(table)),
      options_(options),
      sink_(sink),
      check_(this),
      idle_(this),
      ack_tracker_(loop, this),
      file_reader_(loop, this),
      idle_timer_(loop,
                  options.idle_timeout == 0 ? kLingerMs : std::min(options.idle_timeout, kLingerMs),
                  this),
      splice_timer_(this),
      scratch_(new uint8_t[kReadSize]) {
  uv_check_init(loop_, check_.get());
  check_.set_initialized();
  uv_check_start(check_.get(), [](uv_check_t* h) {
    if (h->data != nullptr) static_cast<StreamEngine*>(h->data)->OnCheck();
  });
  uv_unref(reinterpret_cast<uv_handle_t*>(check_.get()));
  uv_idle_init(loop_, idle_.get());
  idle_.set_initialized();
  uv_timer_init(loop_, splice_timer_.get());
  splice_timer_.set_initialized();
  uv_unref(reinterpret_cast<uv_handle_t*>(splice_timer_.get()));
}

void StreamEngine::Close() {
  if (closed_) return;
  closed_ = true;
  epochs().Leave(options_.worker);
  check_.Close();
  idle_.Close();
  ack_tracker_.Close();
  file_reader_.Close();
  idle_timer_.Close();
  splice_timer_.Close();
  pairs_.clear();
  for (auto& slot : slots_)
    if (slot != nullptr) CountClosed(*slot);
  slots_.clear();
  connections_ = 0;
}

// --- New connections -----------------------------------------------------------------------------

Result<StreamConnection*> StreamEngine::Add(UniqueFd fd) {
  uint32_t id = ids_.Allocate();
  if (id == 0) return MakeFailure(EMFILE, "open", "too many connections");
  uint32_t slot = ConnectionIds::SlotOf(id);
  if (slot >= slots_.size()) {
    slots_.resize(slot + 1);
    opened_at_.resize(slot + 1);
  }
  opened_at_[slot] = uv_now(loop_);
  if (slot < bytes_.size()) bytes_[slot] = {};
  auto connection = std::make_unique<StreamConnection>(this, id, std::move(fd));
  int error = uv_poll_init(loop_, connection->poll.get(), connection->fd.get());
  if (error != 0) {
    ids_.Free(id);
    return UvFailure(error, "uv_poll_init");
  }
  connection->poll.set_initialized();
  StreamConnection* c = connection.get();
  slots_[slot] = std::move(connection);
  ++connections_;
  if (options_.idle_timeout > 0) idle_timer_.Watch(slot);
  return c;
}

void StreamEngine::ReportOpened(StreamConnection* c, const Flow& flow) {
  c->bucket = flow.bucket;
  opened_rows_.push_back({c->id,
                          static_cast<uint32_t>(flow.bucket),
                          flow.flow_id,
                          flow.hash_type,
                          flow.from_kernel,
                          {}});
  if (ending_) Requeue(c);
  Schedule();
}

void StreamEngine::Receive(Connection&& connection) {
  bool secure = tls_ != nullptr && connection.peer.family() != AF_UNIX;
  if (!secure) options_.counters[connection.flow.bucket].served += 1;
  auto added = closed_ ? Result<StreamConnection*>(MakeFailure(ECANCELED, "open", "closed"))
                       : Add(std::move(connection.fd));
  if (!added.ok()) {
    if (connection.place && !secure) options_.counters[connection.flow.bucket].closed += 1;
    return;
  }
  StreamConnection* c = *added;
  c->is_unix = connection.peer.family() == AF_UNIX;
  c->place = std::move(connection.place);
  if (!secure)
    ReportOpened(c, connection.flow);
  else if (!BeginHandshake(c, connection.flow))
    return Remove(c, -ENOMEM);
  UpdatePoll(c);
}

Result<uint32_t> StreamEngine::Connect(Result<UniqueFd> socket, bool is_unix) {
  if (!socket.ok()) return socket.failure;
  if (closed_ || ending_) return MakeFailure(ECANCELED, "connect", "the worker is closing");
  auto added = Add(std::move(*socket));
  if (!added.ok()) return added.failure;
  StreamConnection* c = *added;
  c->phase = StreamConnection::Phase::kConnecting;
  c->is_unix = is_unix;
  UpdatePoll(c);
  return c->id;
}

Result<uint32_t> StreamEngine::Connect(const Connecting& how) {
  auto id = Connect(rss::Connect(how, &table_->predictor()), false);
  bool given = how.local.family() != 0 && how.local.port() != 0;
  if (id.ok() && how.bucket >= 0 && !given && table_->classifier().has_card())
    wanted_[*id].how = how;
  return id;
}

Result<uint32_t> StreamEngine::Attach(int fd, int bucket, bool accepted, const uint8_t* input,
                                      size_t size) {
  if (closed_ || ending_) return MakeFailure(ECANCELED, "splice", "the worker is closing");
  SocketAddress local, peer;
  Status status = ConnectionAddresses(fd, &local, &peer);
  if (!status.ok()) return status.failure;
  UniqueFd own(fcntl(fd, F_DUPFD_CLOEXEC, 0));
  if (!own) return LastError("dup");
  auto added = Add(std::move(own));
  if (!added.ok()) return added.failure;
  StreamConnection* c = *added;
  c->is_unix = local.family() == AF_UNIX;
  c->bucket = bucket;
  if (bucket < 0 && c->is_unix) c->bucket = 0;
  if (bucket < 0 && !c->is_unix) {
    const FlowClassifier& classifier = table_->classifier();
    KernelFlow kernel = classifier.uses_ids() ? GetKernelFlow(fd).value : KernelFlow();
    c->bucket = classifier.Classify(Transport::kTcp, kernel, peer, local).bucket;
  }
  if (accepted) c->place = table_->limit().Force();
  c->input.Append(input, size);
  return c->id;
}

// False: the connection is as wanted, or cannot be had.
bool StreamEngine::TryAnotherPort(StreamConnection* c, const Flow& flow) {
  auto found = wanted_.find(c->id);
  if (found == wanted_.end()) return false;
  Wanted& wanted = found->second;
  bool elsewhere = flow.from_kernel && flow.bucket != wanted.how.bucket;
  Result<UniqueFd> socket = MakeFailure(EADDRNOTAVAIL, "connect");
  // The search for a port begins elsewhere each time.
  if (elsewhere && ++wanted.tries < kPortTries)
    socket = rss::Connect(wanted.how, &table_->predictor());
  if (!socket.ok()) {
    wanted_.erase(found);
    return false;
  }
  c->poll.Renew(c);
  c->fd = std::move(*socket);
  c->events = 0;
  int error = uv_poll_init(loop_, c->poll.get(), c->fd.get());
  if (error != 0) {
    Remove(c, error);
    return true;
  }
  c->poll.set_initialized();
  UpdatePoll(c);
  return true;
}

void StreamEngine::OnConnected(StreamConnection* c) {
  int error = ConnectError(c->fd.get());
  if (error != 0) return Remove(c, error);
  SocketAddress local, peer;
  Flow flow;
  if (ConnectionAddresses(c->fd.get(), &local, &peer).ok() && local.family() != AF_UNIX) {
    const FlowClassifier& classifier = table_->classifier();
    KernelFlow kernel;
    if (classifier.uses_ids()) {
      kernel = GetKernelFlow(c->fd.get()).value;
      table_->samples().Add(Transport::kTcp, kernel, peer, local);
    }
    flow = classifier.Classify(Transport::kTcp, kernel, peer, local);
    if (!table_->predictor().Check(Transport::kTcp, flow, peer, local))
      options_.counters[flow.bucket].mispredicted += 1;
  }
  if (TryAnotherPort(c, flow)) return;
  using Phase = StreamConnection::Phase;
  c->phase = c->phase == Phase::kConnecting ? Phase::kOpen : Phase::kFinishing;
  Touch(c);
  ReportOpened(c, flow);
  SendQueued(c);
}

// Makes the kernel report new input once. Returns whether it does. Unix sockets are excluded: a
// read of theirs stops after a message that carries descriptors.
bool StreamEngine::UseEdges(StreamConnection* c) {
  using Readiness = StreamConnection::Readiness;
  if (c->readiness != Readiness::kEdge && !c->is_unix &&
      WatchEdges(uv_backend_fd(loop_), c->fd.get()))
    c->readiness = Readiness::kEdge;
  return c->readiness == Readiness::kEdge;
}

void StreamEngine::UpdatePoll(StreamConnection* c) {
  int events = 0;
  if (c->is_spliced())
    events = SplicedEvents(c);
  else if (c->is_handshaking() && !c->has_pending())
    events = UV_READABLE;
  else if (c->is_connecting() || c->has_pending() || !c->output.empty())
    events = UV_WRITABLE;
  else if (c->takes_input() && !CanDeliver(c)) {  // input that has been read comes first
    events = UV_READABLE | UV_DISCONNECT;
    // POLLERR alone does not stop such a handle: libuv then reports all that the handle waits for.
    if (!c->is_unix && ack_tracker_.RaisesErrors()) events |= UV_PRIORITIZED;
  }
  if (c->awaits_disk) events &= ~UV_WRITABLE;
  if (events == c->events) return;
  c->events = static_cast<uint8_t>(events);
  if (c->readiness == StreamConnection::Readiness::kEdge)
    c->readiness = StreamConnection::Readiness::kLevel;  // libuv registers it level-triggered
  if (events == 0)
    uv_poll_stop(c->poll.get());
  else
    uv_poll_start(c->poll.get(), events, OnPoll);
}

void StreamEngine::OnPoll(uv_poll_t* poll, int status, int events) {
  auto* c = static_cast<StreamConnection*>(poll->data);
  if (c == nullptr) return;
  StreamEngine* engine = c->engine;
  engine->statistics_.callbacks += 1;
  // There is a report of an acknowledgement, which AckTracker takes, or urgent data. Edges do not
  // report urgent data. They report once more the input that is already there.
  if ((events & UV_PRIORITIZED) != 0) {
    if (!c->is_lingering() && engine->UseEdges(c)) return;
    events = UV_READABLE;
  }
  // libuv stops a handle on POLLERR. The cause is an error, which the next call on the socket
  // returns, or a report. A report alone stops only handles that do not wait for UV_PRIORITIZED.
  // They were registered before there were reports. UpdatePoll() registers them anew.
  if (status < 0) {
    events = c->events & ~(UV_DISCONNECT | UV_PRIORITIZED);  // reported again
    c->events = 0;
    engine->UpdatePoll(c);
  }
  if (c->acks != nullptr) engine->CheckAcknowledged(c, false);
  if (c->is_handshaking())
    engine->Handshake(c);
  else if (c->is_connecting())
    engine->OnConnected(c);
  else if (c->is_spliced())
    engine->OnSplicedPoll(c, events);
  else if ((events & UV_WRITABLE) != 0)
    engine->SendQueued(c);
  else {
    if ((events & UV_DISCONNECT) != 0) c->hung_up = true;
    engine->Read(c->id);
  }
}

// --- Turns ---------------------------------------------------------------------------------------

void StreamEngine::Schedule() {
  if (!closed_ && uv_is_active(reinterpret_cast<uv_handle_t*>(idle_.get())) == 0)
    uv_idle_start(idle_.get(), [](uv_idle_t*) {});
}

void StreamEngine::OnCheck() {
  if (!requeued_.empty()) ServeRequeued();
  if (closed_) return;
  if (rows_ > 0 || HasEvents()) RunTurn();
  if (!closed_ && requeued_.empty() && !HasEvents()) uv_idle_stop(idle_.get());
}

void StreamEngine::RunTurn() {
  if (in_turn_) return;
  in_turn_ = true;
  epochs().Enter(options_.worker);
  // A turn reports opened connections, then input, then completed marks, then closed connections.
  // If there are too many opened ones, extra turns report them first.
  size_t opened;
  for (;;) {
    opened = std::min(opened_rows_.size(), options_.event_rows);
    std::copy_n(opened_rows_.begin(), opened, options_.opened);
    opened_rows_.erase(opened_rows_.begin(), opened_rows_.begin() + static_cast<ptrdiff_t>(opened));
    if (opened_rows_.empty()) break;
    statistics_.turns += 1;
    sink_->OnTurn({static_cast<uint32_t>(opened), 0, 0, 0, 0});
    if (closed_) return;
  }
  size_t rows = rows_;
  size_t completed = std::min(completed_rows_.size(), options_.event_rows);
  std::copy_n(completed_rows_.begin(), completed, options_.completed);
  completed_rows_.erase(completed_rows_.begin(),
                        completed_rows_.begin() + static_cast<ptrdiff_t>(completed));
  size_t closed = std::min(closed_rows_.size(), options_.event_rows);
  std::copy_n(closed_rows_.begin(), closed, options_.closed);
  closed_rows_.erase(closed_rows_.begin(), closed_rows_.begin() + static_cast<ptrdiff_t>(closed));
  size_t spliced = std::min(spliced_rows_.size(), options_.event_rows);
  for (size_t i = 0; i < spliced; ++i) options_.spliced[i] = spliced_rows_[i].row;
  statistics_.turns += 1;
  sink_->OnTurn({static_cast<uint32_t>(opened), static_cast<uint32_t>(rows),
                 static_cast<uint32_t>(closed), static_cast<uint32_t>(completed),
                 static_cast<uint32_t>(spliced)});
  if (closed_) return;
  epochs().Leave(options_.worker);
  for (size_t i = 0; i < rows; ++i) ApplyConsumed(options_.inputs[i]);
  // JavaScript may keep tables by slot, so an id is freed only after its end has been reported.
  for (size_t i = 0; i < closed; ++i)
    if (options_.closed[i].connection != 0) ids_.Free(options_.closed[i].connection);
  rows_ = 0;
  slab_used_ = 0;
  in_turn_ = false;
  for (size_t i = 0; i < spliced; ++i)
    for (uint32_t id : spliced_rows_[i].returned) Resume(id);
  spliced_rows_.erase(spliced_rows_.begin(),
                      spliced_rows_.begin() + static_cast<ptrdiff_t>(spliced));
  if (HasEvents()) Schedule();
}

std::vector<StreamEngine::Listed> StreamEngine::List(int64_t* slot, size_t count) const {
  std::vector<Listed> listed;
  auto at = static_cast<size_t>(*slot);
  size_t end = std::min(slots_.size(), at + count);
  for (; at < end; ++at) {
    const StreamConnection* c = slots_[at].get();
    if (c == nullptr || c->is_connecting()) continue;
    ConnectionBytes bytes = at < bytes_.size() ? bytes_[at] : ConnectionBytes{};
    listed.push_back(
        {c->fd.get(), c->bucket, bool{c->place}, uv_now(loop_) - opened_at_[at], bytes});
  }
  *slot = at < slots_.size() ? static_cast<int64_t>(at) : -1;
  return listed;
}

// --- Detaching and closing -----------------------------------------------------------------------

Result<StreamEngine::Detached> StreamEngine::Detach(uint32_t id, bool with_row) {
  Detached out;
  StreamConnection* c = Find(id);
  if (c == nullptr || c->is_connecting() || c->is_finishing())
    return MakeFailure(ENOTCONN, "detach", "the connection has ended");
  if (c->tls != nullptr) return MakeFailure(ENOTSUP, "detach", "the connection has TLS");
  Unsplice(id);
  statistics_.queued -= static_cast<double>(c->output.size());
  copied_ -= c->output.copied();
  --connections_;
  if (IsTimed(c)) idle_timer_.Unwatch();
  c->poll.Close();  // before the descriptor has another owner
  out.fd = std::move(c->fd);
  out.bucket = c->bucket;
  out.accepted = static_cast<bool>(c->place);
  for (size_t i = 0; i < rows_ && c->has_row; ++i) {
    InputRow& row = options_.inputs[i];
    if (row.connection != id) continue;
    bool unseen = !in_turn_;  // between turns: JavaScript must not see the row any more
    size_t consumed = row.consumed == InputRow::kUntouched ? 0 : std::min(row.consumed, row.length);
    if (with_row || unseen)
      out.input.Append(options_.slab + row.offset + consumed, row.length - consumed);
    if (unseen) std::copy(&row + 1, options_.inputs + rows_--, &row);
    break;
  }
  out.input.Append(c->input.data(), c->input.size());
  LoseMarks(c, 0);
  out.output = c->output.Flatten();
  slots_[ConnectionIds::SlotOf(id)].reset();
  ids_.Free(id);
  return out;
}

StreamConnection::Peer StreamEngine::PeerOf(uint32_t id) {
  StreamConnection* c = Find(id);
  return c == nullptr ? StreamConnection::Peer::kPerhapsHere : PeerOf(c);
}

StreamConnection::Peer StreamEngine::PeerOf(StreamConnection* c) {
  using Peer = StreamConnection::Peer;
  if (c->peer != Peer::kUnknown) return c->peer;
  Route route = PeerRoute(c->fd.get());
  if (route == Route::kPending) return Peer::kUnknown;
  c->paced = IsPaced(c->fd.get());
  if (route == Route::kElsewhere)
    c->peer = Peer::kElsewhere;
  else
    c->peer = route == Route::kHere ? Peer::kHere : Peer::kPerhapsHere;
  return c->peer;
}

Status StreamEngine::Addresses(uint32_t id, SocketAddress* local, SocketAddress* peer) const {
  const StreamConnection* c = Find(id);
  if (c == nullptr) return MakeFailure(ENOTCONN, "getpeername", "the connection has ended");
  return ConnectionAddresses(c->fd.get(), local, peer);
}

void StreamEngine::EndAll() {
  ending_ = true;
  for (auto& slot : slots_) {
    if (slot == nullptr) continue;
    if (slot->is_connecting())
      Remove(slot.get(), -ECANCELED);
    else
      Requeue(slot.get());
  }
}

void StreamEngine::OnQuiet(uint32_t slot, uint64_t quiet) {
  StreamConnection* c = slot < slots_.size() ? slots_[slot].get() : nullptr;
  if (c == nullptr) return;
  bool idle = options_.idle_timeout > 0 && quiet >= options_.idle_timeout;
  bool late = c->is_handshaking() && quiet >= tls_->timeout;
  if (c->is_lingering() && (idle || quiet >= kLingerMs))
    Remove(c, 0);
  else if (idle || late)
    Remove(c, -ETIMEDOUT);
}

StreamStatistics StreamEngine::statistics() const {
  StreamStatistics now = statistics_;
  now.connections = static_cast<double>(connections_);
  now.splices = static_cast<double>(pairs_.size());
  now.pipes = static_cast<double>(pipes_.open());
  return now;
}

}  // namespace rss
