#include "engine/worker_port.h"

#include <fcntl.h>
#include <string.h>

#include <algorithm>

#include "platform/posix/accept.h"
#include "platform/posix/stream.h"

namespace rss {
namespace {

Failure UvFailure(int error, const char* call) {
  return Failure{error, call, nullptr, {}};
}

bool CanBeSource(const SocketAddress& address) {
  SocketAddress a = address.Unmapped();
  if (a.family() == AF_INET6) return !IN6_IS_ADDR_MULTICAST(&a.v6.sin6_addr);
  uint32_t host = ntohl(a.v4.sin_addr.s_addr);
  return !IN_MULTICAST(host) && host != INADDR_BROADCAST;
}

}  // namespace

WorkerPort::WorkerPort(uv_loop_t* loop, std::shared_ptr<BucketTable> table,
                       const PortOptions& options, PortSink* sink)
    : loop_(loop),
      table_(std::move(table)),
      options_(options),
      sink_(sink),
      wake_(this),
      pause_(this),
      turn_(this),
      held_(table_->classifier().config().buckets()),
      misdirected_(held_.size()),
      rows_(kDatagramBatch) {
  uv_async_init(loop_, wake_.get(), [](uv_async_t* h) {
    if (h->data != nullptr) static_cast<WorkerPort*>(h->data)->DrainInbox();
  });
  wake_.set_initialized();
  uv_timer_init(loop_, pause_.get());
  pause_.set_initialized();
  uv_check_init(loop_, turn_.get());
  turn_.set_initialized();
}

void WorkerPort::Wake() {
  uv_async_send(wake_.get());
}

Result<std::unique_ptr<WorkerPort::Socket>> WorkerPort::Adopt(int fd, Transport transport) {
  if (closed_) return MakeFailure(EBADF, "adopt", "the port is closed");
  auto kind = InspectSocket(fd);
  if (!kind.ok()) return kind.failure;
  if (kind.value.transport != transport)
    return MakeFailure(EPROTOTYPE, "adopt",
                       transport == Transport::kTcp ? "not a TCP socket" : "not a UDP socket");
  if (transport == Transport::kTcp && !kind.value.listening)
    return MakeFailure(EINVAL, "adopt", "not a listening socket");
  UniqueFd own(fcntl(fd, F_DUPFD_CLOEXEC, 0));
  if (!own) return LastError("fcntl");
  auto socket = Own(std::move(own));
  if (!socket.ok()) return socket.failure;
  socket.value->address = kind.value.address;
  socket.value->local = kind.value.family == AF_UNIX;
  return socket;
}

Result<std::unique_ptr<WorkerPort::Socket>> WorkerPort::Own(UniqueFd fd) {
  auto socket = std::make_unique<Socket>(this, std::move(fd));
  int error = uv_poll_init(loop_, socket->poll.get(), socket->fd.get());
  if (error != 0) return UvFailure(error, "uv_poll_init");
  socket->poll.set_initialized();
  return socket;
}

Status WorkerPort::AddListener(int fd) {
  auto socket = Adopt(fd, Transport::kTcp);
  if (!socket.ok()) return socket.failure;
  listeners_.push_back(std::move(socket.value));
  return Nothing{};
}

Status WorkerPort::AddDatagramSocket(int fd, int endpoint, bool receive) {
  auto socket = Adopt(fd, Transport::kUdp);
  if (!socket.ok()) return socket.failure;
  bool bound = !socket.value->address.is_unspecified();
  Status status = EnableDatagramInfo(socket.value->fd.get(), bound);
  if (!status.ok()) return status;
  socket.value->endpoint = endpoint;
  socket.value->receive = receive;
  sockets_.push_back(std::move(socket.value));
  return Nothing{};
}

Result<uint32_t> WorkerPort::ConnectDatagrams(const Connecting& how) {
  if (closed_) return MakeFailure(EBADF, "connect", "the port is closed");
  Connecting sized = how;
  sized.datagram_size = static_cast<int>(options_.slot_size);
  auto fd = Connect(sized, &table_->classifier());
  if (!fd.ok()) return fd.failure;
  SocketAddress local, peer;
  Status status = Endpoints(fd.value.get(), &local, &peer);
  if (!status.ok()) return status.failure;
  auto socket = Own(std::move(fd.value));
  if (!socket.ok()) return socket.failure;
  socket.value->address = local;
  socket.value->peer = peer;
  socket.value->flow = table_->classifier().Hash(Transport::kUdp, peer, local);
  int error = uv_poll_start(socket.value->poll.get(), UV_READABLE, OnSocketReadable);
  if (error != 0) return UvFailure(error, "uv_poll_start");
  uint32_t id = ids_.Allocate();
  if (id == 0) return MakeFailure(EMFILE, "connect", "every slot is taken");
  socket.value->connected = id;
  size_t slot = ConnectionIds::SlotOf(id);
  if (slot >= connected_.size()) connected_.resize(slot + 1);
  connected_[slot] = std::move(socket.value);
  return id;
}

void WorkerPort::CloseDatagrams(uint32_t id) {
  if (ConnectedOf(id) == nullptr) return;
  connected_[ConnectionIds::SlotOf(id)] = nullptr;
  ids_.Free(id);
}

const SocketAddress* WorkerPort::LocalOf(uint32_t id) const {
  const Socket* socket = ConnectedOf(id);
  return socket == nullptr ? nullptr : &socket->address;
}

Status WorkerPort::Start() {
  if (closed_) return MakeFailure(EBADF, "start", "the port is closed");
  for (auto& listener : listeners_) {
    int error = uv_poll_start(listener->poll.get(), UV_READABLE, OnListenerReadable);
    if (error != 0) return UvFailure(error, "uv_poll_start");
  }
  for (auto& socket : sockets_) {
    if (!socket->receive) continue;
    int error = uv_poll_start(socket->poll.get(), UV_READABLE, OnSocketReadable);
    if (error != 0) return UvFailure(error, "uv_poll_start");
  }
  started_ = true;
  table_->Attach(options_.worker, this);
  return Nothing{};
}

void WorkerPort::Close() {
  if (closed_) return;
  closed_ = true;
  if (started_) table_->Detach(options_.worker);
  wake_.Close();
  pause_.Close();
  turn_.Close();
  waiting_ = 0;
  listeners_.clear();
  sockets_.clear();
  connected_.clear();
  for (size_t bucket = 0; bucket < held_.size(); ++bucket)
    counters(static_cast<int>(bucket)).closed += static_cast<double>(held_[bucket].size());
  held_.clear();
  ready_.erase(std::remove_if(ready_.begin(), ready_.end(),
                              [](const Connection& connection) { return !connection.fd; }),
               ready_.end());
  table_->ReturnConnections(std::move(ready_));
  if (in_transit_.fd >= 0 && IsConnection(in_transit_.fd, in_transit_.peer, in_transit_.local))
    UniqueFd abandoned(in_transit_.fd);
}

// --- Connections --------------------------------------------------------------------------------

void WorkerPort::OnListenerReadable(uv_poll_t* poll, int status, int) {
  auto* listener = static_cast<Socket*>(poll->data);
  if (listener == nullptr) return;
  WorkerPort* port = listener->port;
  // libuv stops a handle on POLLERR; reading the socket clears the error.
  if (status < 0) uv_poll_start(poll, UV_READABLE, OnListenerReadable);
  port->Accept(listener, kAcceptsPerTurn);
  port->DeliverConnections();
}

size_t WorkerPort::Accept(Socket* listener, size_t limit) {
  size_t accepted = 0;
  for (; accepted < limit; ++accepted) {
    Connection connection;
    connection.place = stopping_ ? table_->limit().Force() : table_->limit().Take();
    if (!connection.place) {
      AtLimit();
      break;
    }
    int error = AcceptConnection(listener->fd.get(), &connection);
    if (error == -EAGAIN || error == -EWOULDBLOCK) break;
    if (error != 0) {
      PauseAccepting(kAcceptPauseMs);
      sink_->OnAcceptError(error);
      break;
    }
    limited_ = false;
    if (listener->local) {
      connection.flow.bucket = options_.home_bucket;
    } else {
      KernelFlow kernel;
      if (table_->classifier().config().kernel) kernel = GetKernelFlow(connection.fd.get()).value;
      connection.flow =
          table_->classifier().Classify(Transport::kTcp, kernel, connection.peer, connection.local);
    }
    counters(connection.flow.bucket).accepted += 1;
    if (listener->local || !HandOver(&connection)) ready_.push_back(std::move(connection));
  }
  return accepted;
}

// Gives a connection of another worker's bucket to that worker; false when it is to be served here.
bool WorkerPort::HandOver(Connection* connection) {
  int bucket = connection->flow.bucket;
  BucketCounters& counter = counters(bucket);
  if (table_->owner(bucket) == options_.worker) return false;
  CountMisdirected(Transport::kTcp, connection->flow, connection->peer, connection->local);
  if (!options_.handoff) return false;
  if (table_->PushConnection(bucket, std::move(*connection))) {
    counter.handed_off += 1;
    return true;
  }
  counter.inbox_full += 1;
  return false;
}

void WorkerPort::CountMisdirected(Transport transport, const Flow& flow, const SocketAddress& peer,
                                  const SocketAddress& local) {
  if (!options_.count_misdirected) return;
  counters(flow.bucket).misdirected += 1;
  if (peer.family() != AF_INET && peer.family() != AF_INET6) return;  // a Unix socket's
  auto sampled = misdirected_[static_cast<size_t>(flow.bucket)];
  if (!sampled) misdirections_.push_back({transport, flow, peer, local});
  sampled = true;
}

std::vector<Misdirection> WorkerPort::TakeMisdirections() {
  misdirected_.assign(misdirected_.size(), false);
  std::vector<Misdirection> taken;
  taken.swap(misdirections_);
  return taken;
}

// A listener that stays readable while nothing can be accepted would spin the loop.
void WorkerPort::PauseAccepting(int milliseconds) {
  for (auto& listener : listeners_) uv_poll_stop(listener->poll.get());
  uv_timer_start(
      pause_.get(),
      [](uv_timer_t* timer) {
        if (timer->data != nullptr) static_cast<WorkerPort*>(timer->data)->ResumeAccepting();
      },
      static_cast<uint64_t>(milliseconds), 0);
}

void WorkerPort::AtLimit() {
  if (!limited_) counters(options_.home_bucket).accept_pauses += 1;
  limited_ = true;
  paused_since_ = uv_hrtime();
  PauseAccepting(kLimitPauseMs);
}

void WorkerPort::CountPause() {
  if (paused_since_ == 0) return;
  counters(options_.home_bucket).accept_paused_us +=
      static_cast<double>(uv_hrtime() - paused_since_) / 1000;
  paused_since_ = 0;
}

void WorkerPort::ResumeAccepting() {
  CountPause();
  for (auto& listener : listeners_)
    uv_poll_start(listener->poll.get(), UV_READABLE, OnListenerReadable);
}

int WorkerPort::Take(size_t i) {
  if (i >= ready_.size() || !ready_[i].fd) return -EBADF;
  Connection& connection = ready_[i];
  counters(connection.flow.bucket).served += 1;
  in_transit_.fd = connection.fd.get();
  in_transit_.peer = connection.peer;
  in_transit_.local = connection.local;
  held_[static_cast<size_t>(connection.flow.bucket)].push_back(std::move(connection.place));
  return connection.fd.release();
}

void WorkerPort::Hold(int bucket) {
  if (closed_) return;
  held_[static_cast<size_t>(bucket)].push_back(table_->limit().Force());
}

void WorkerPort::Ended(int bucket) {
  if (closed_ || held_[static_cast<size_t>(bucket)].empty()) return;
  held_[static_cast<size_t>(bucket)].pop_back();
  counters(bucket).closed += 1;
}

void WorkerPort::DeliverConnections() {
  if (ready_.empty() || closed_) return;
  if (options_.streams != nullptr) {
    for (Connection& connection : ready_) {
      counters(connection.flow.bucket).served += 1;
      options_.streams->Open(std::move(connection));
    }
    return ready_.clear();
  }
  bool alive = sink_->OnConnections(ready_.size());
  if (closed_) return;
  ready_.erase(std::remove_if(ready_.begin(), ready_.end(),
                              [](const Connection& connection) { return !connection.fd; }),
               ready_.end());
  if (alive && !ready_.empty()) Wake();  // the callback threw half way, and the worker lives on
}

void WorkerPort::StopAccepting(bool queued) {
  CountPause();
  stopping_ = true;  // what is queued is served, past the limit too
  for (auto& listener : listeners_) {
    while (queued && Accept(listener.get(), kAcceptsPerTurn) == kAcceptsPerTurn) {
    }
  }
  listeners_.clear();
  DeliverConnections();
}

// --- Inbox --------------------------------------------------------------------------------------

void WorkerPort::DrainInbox() {
  if (!Drain() && !closed_) Wake();
}

bool WorkerPort::Drain() {
  if (closed_ || !started_) return true;
  bool more = table_->Drain(options_.worker, kAcceptsPerTurn + ready_.size(), &ready_, &forwarded_);
  DeliverConnections();
  if (!closed_) DeliverForwarded();
  return !more && ready_.empty();
}

void WorkerPort::DeliverForwarded() {
  if (!forwarded_.empty()) DeliverConnected();
  size_t at = 0;
  while (at < forwarded_.size() && !closed_) {
    size_t count = 0;
    for (; count < kDatagramBatch && at < forwarded_.size(); ++at, ++count) {
      ForwardedDatagram& from = forwarded_[at];
      ReceivedDatagram& row = rows_[count];
      row.flow = from.flow;
      row.endpoint = from.endpoint;
      row.connected = 0;
      row.slot = static_cast<uint32_t>(count);
      row.length = static_cast<uint32_t>(from.payload.size());
      row.truncated = from.truncated;
      row.peer = from.peer;
      row.info = DatagramInfo();
      row.info.has_destination = from.local.family() != 0;
      row.info.destination = from.local;
      if (!from.payload.empty())
        memcpy(options_.slab + count * options_.stride, from.payload.data(), from.payload.size());
      counters(row.flow.bucket).datagrams_in += 1;
      counters(row.flow.bucket).bytes_in += row.length;
    }
    sink_->OnDatagrams(count);
  }
  forwarded_.clear();
}

// --- Datagrams ----------------------------------------------------------------------------------

void WorkerPort::OnSocketReadable(uv_poll_t* poll, int status, int) {
  auto* socket = static_cast<Socket*>(poll->data);
  if (socket == nullptr) return;
  if (status < 0) uv_poll_start(poll, UV_READABLE, OnSocketReadable);
  if (socket->connected != 0)
    socket->port->ReceiveConnected(socket);
  else
    socket->port->ReceiveDatagrams(socket);
}

void WorkerPort::ReceiveDatagrams(Socket* socket) {
  DeliverConnected();
  if (closed_) return;
  for (int batch = 0; batch < kBatchesPerTurn; ++batch) {
    int received = batcher_.Receive(socket->fd.get(), options_.slab, options_.stride,
                                    options_.slot_size, rows_.data());
    if (received == -EAGAIN || received == -EWOULDBLOCK || received == 0) return;
    if (received < 0) continue;  // a pending ICMP error: reading it has cleared it
    size_t count = 0;
    for (int i = 0; i < received; ++i) {
      ReceivedDatagram& row = rows_[i];
      row.endpoint = socket->endpoint;
      row.connected = 0;
      if (!Describe(&row, *socket)) continue;
      CountReceived(row);
      if (count != static_cast<size_t>(i)) rows_[count] = row;
      ++count;
    }
    if (count > 0) sink_->OnDatagrams(count);
    if (closed_ || received < kDatagramBatch) return;
  }
}

// Connected sockets have few datagrams each: those of a turn are delivered together.
void WorkerPort::ReceiveConnected(Socket* socket) {
  const uint32_t id = socket->connected;
  for (int batch = 0; batch < kBatchesPerTurn; ++batch) {
    int first = static_cast<int>(waiting_);
    int received = batcher_.ReceiveConnected(socket->fd.get(), first, options_.slab,
                                             options_.stride, options_.slot_size, rows_.data());
    if (received == -EAGAIN || received == -EWOULDBLOCK || received == 0) return;
    if (received < 0) continue;
    if (waiting_ == 0) uv_check_start(turn_.get(), OnTurn);
    for (int i = 0; i < received; ++i) {
      ReceivedDatagram& row = rows_[waiting_++];
      row.connected = id;
      row.endpoint = -1;
      row.peer = socket->peer;
      row.flow = socket->flow;
      row.info = DatagramInfo();
      CountReceived(row);
    }
    if (waiting_ < kDatagramBatch) return;
    DeliverConnected();
    if (ConnectedOf(id) != socket) return;  // the callback has closed it, or all
  }
}

void WorkerPort::OnTurn(uv_check_t* check) {
  if (check->data != nullptr) static_cast<WorkerPort*>(check->data)->DeliverConnected();
}

void WorkerPort::DeliverConnected() {
  if (waiting_ == 0) return;
  uv_check_stop(turn_.get());
  // Without those whose socket has been closed meanwhile.
  auto end = std::remove_if(
      rows_.begin(), rows_.begin() + static_cast<ptrdiff_t>(waiting_),
      [this](const ReceivedDatagram& row) { return ConnectedOf(row.connected) == nullptr; });
  waiting_ = 0;
  auto count = static_cast<size_t>(end - rows_.begin());
  if (count > 0) sink_->OnDatagrams(count);
}

void WorkerPort::CountReceived(const ReceivedDatagram& row) {
  BucketCounters& counter = counters(row.flow.bucket);
  if (row.truncated) counter.datagrams_truncated += 1;
  counter.datagrams_in += 1;
  counter.bytes_in += row.length;
}

// Finds its flow. False when the datagram has gone to its bucket's owner.
bool WorkerPort::Describe(ReceivedDatagram* row, const Socket& socket) {
  SocketAddress local = socket.address;
  if (row->info.has_destination) {
    local = row->info.destination;
    local.set_port(socket.address.port());
  }
  row->flow = table_->classifier().Classify(Transport::kUdp, row->info.flow, row->peer, local);
  if (table_->owner(row->flow.bucket) == options_.worker) return true;
  CountMisdirected(Transport::kUdp, row->flow, row->peer, local);
  if (!options_.forward || !Forward(*row, socket)) return true;
  if (row->truncated) counters(row->flow.bucket).datagrams_truncated += 1;
  return false;
}

bool WorkerPort::Forward(const ReceivedDatagram& row, const Socket& socket) {
  const uint8_t* payload = options_.slab + row.slot * options_.stride;
  ForwardedDatagram datagram;
  datagram.flow = row.flow;
  datagram.peer = row.peer;
  if (row.info.has_destination) datagram.local = row.info.destination;
  datagram.endpoint = socket.endpoint;
  datagram.truncated = row.truncated;
  datagram.payload.assign(payload, payload + row.length);
  BucketCounters& counter = counters(row.flow.bucket);
  if (!table_->PushDatagram(row.flow.bucket, std::move(datagram))) {
    counter.inbox_full += 1;
    return false;
  }
  counter.datagrams_forwarded += 1;
  return true;
}

WorkerPort::Socket* WorkerPort::SocketOf(int endpoint) const {
  for (const auto& socket : sockets_)
    if (socket->endpoint == endpoint) return socket.get();
  return nullptr;
}

WorkerPort::Socket* WorkerPort::ConnectedOf(uint32_t id) const {
  size_t slot = ConnectionIds::SlotOf(id);
  Socket* socket = slot < connected_.size() ? connected_[slot].get() : nullptr;
  return socket != nullptr && socket->connected == id ? socket : nullptr;
}

SocketAddress WorkerPort::destination(size_t i) const {
  const ReceivedDatagram& row = rows_[i];
  if (const SocketAddress* local = LocalOf(row.connected)) return *local;
  const Socket* socket = SocketOf(row.endpoint);
  SocketAddress local;
  if (row.info.has_destination)
    local = row.info.destination;
  else if (socket != nullptr)
    local = socket->address;
  if (socket != nullptr) local.set_port(socket->address.port());
  return local;
}

void WorkerPort::Reply(const DatagramReply* replies, size_t count) {
  OutgoingDatagram batch[kDatagramBatch];
  for (size_t at = 0; at < count;) {
    Socket* socket = SocketFor(replies[at]);
    int size = 0;
    for (; size < kDatagramBatch && at + size < count; ++size) {
      const DatagramReply& reply = replies[at + size];
      if (size > 0 && SocketFor(reply) != socket) break;
      OutgoingDatagram& out = batch[size];
      out = OutgoingDatagram();
      out.data = reply.data;
      out.length = reply.length;
      if (socket == nullptr || socket->connected != 0) continue;
      const ReceivedDatagram& row = rows_[reply.row];
      const DatagramInfo& info = row.info;
      out.peer = &row.peer;
      bool named =
          socket->address.is_unspecified() && info.has_destination && CanBeSource(info.destination);
      out.source = named ? &info.destination : nullptr;
      out.flow = info.flow;
    }
    for (int done = 0; socket != nullptr && done < size;) {  // null: it has been closed
      int sent = batcher_.Send(socket->fd.get(), batch + done, size - done);
      // A full buffer drops the rest, as UDP does; any other error is that one datagram's.
      int dropped = sent >= 0 ? 0 : (sent == -EAGAIN || sent == -ENOBUFS) ? size - done : 1;
      int moved = sent > 0 ? sent : 0;
      for (int i = 0; i < moved + dropped; ++i) {
        const Flow& flow =
            socket->connected != 0 ? socket->flow : rows_[replies[at + done + i].row].flow;
        BucketCounters& counter = counters(flow.bucket);
        if (i < moved) {
          counter.datagrams_out += 1;
          counter.bytes_out += static_cast<double>(batch[done + i].length);
        } else {
          counter.datagrams_dropped += 1;
        }
      }
      done += moved + dropped;
      if (moved + dropped == 0) break;
    }
    at += size;
  }
}

WorkerPort::Socket* WorkerPort::SocketFor(const DatagramReply& reply) const {
  if (reply.connected != 0) return ConnectedOf(reply.connected);
  const ReceivedDatagram& row = rows_[reply.row];
  return row.connected != 0 ? ConnectedOf(row.connected) : SocketOf(row.endpoint);
}

}  // namespace rss
