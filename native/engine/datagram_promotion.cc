// The promoted flows of DatagramEngine: gives a flow of another worker's bucket a socket of its
// own, passes it to the owner, and reads it there.
#include <algorithm>
#include <utility>

#include "engine/datagram_sockets.h"
#include "engine/forwarded.h"
#include "platform/platform.h"
#include "platform/posix/flow_socket.h"

namespace rss {
namespace {

// Describes a datagram of a promoted flow.
void DescribeAs(const ReceivedDatagram& flow, ReceivedDatagram* row) {
  row->flow = flow.flow;
  row->endpoint = flow.endpoint;
  row->connected = 0;
  row->peer = flow.peer;
  row->info = flow.info;
}

}  // namespace

void DatagramEngine::PromoteDue(const BoundSocket& socket) {
  for (const ReceivedDatagram& flow : promoted_->TakeDue()) {
    if (!context_.owns(flow.flow.bucket)) Promote(socket, flow);
    if (closed_) return;
    promoted_->Forget(flow);  // what has been read meanwhile is older than the socket
  }
}

// Opens a socket for a flow. On some kernels the new socket gets the datagrams of all peers until
// it is connected, and the bound socket gets none. There the bound socket is read before
// connect(2), and the new one afterwards.
void DatagramEngine::Promote(const BoundSocket& socket, const ReceivedDatagram& flow) {
  SocketAddress local = flow.info.has_destination ? flow.info.destination : socket.address;
  if (!CanBeSource(local)) return;
  local = local.Unmapped();
  local.set_port(socket.address.port());
  auto opened = OpenFlowSocket(socket.fd(), local);
  if (!opened.ok()) return GiveUp(opened.failure);
  OpenedFlow one{&socket, flow, {std::move(*opened)}};
  const int fd = one.own.fd.get();
  if (!opened_.empty()) ReadOpened(opened_.back());
  if (TakesAllUntilConnected()) ReadQueued(socket, socket.fd(), nullptr);
  if (closed_) return;
  Status status = ConnectFlowSocket(fd, flow.peer.Unmapped());
  if (!status.ok()) LeaveFlow(fd);
  if (TakesAllUntilConnected()) ReadQueued(socket, fd, &flow.info.destination);
  if (closed_) return;
  if (!status.ok()) return GiveUp(status.failure);
  uv_idle_start(pass_due_.get(), [](uv_idle_t* idle) {
    if (idle->data != nullptr) static_cast<DatagramEngine*>(idle->data)->PassOpened();
  });
  opened_.push_back(std::move(one));
}

// Passes the sockets to the owners of their flows, one turn after connect(2): the kernel may queue
// datagrams until then for which it had chosen a socket before. They are read here first.
void DatagramEngine::PassOpened() {
  uv_idle_stop(pass_due_.get());
  DeliverConnected();
  for (size_t i = 0; i < opened_.size(); ++i) ReadOpened(opened_[i]);
  const BoundSocket* read = nullptr;
  for (size_t i = 0; i < opened_.size(); ++i) {
    if (opened_[i].socket == read) continue;
    read = opened_[i].socket;
    ReadQueued(*read, read->fd(), nullptr);
  }
  for (OpenedFlow& one : std::exchange(opened_, {})) {
    if (PassFirst(&one)) continue;
    promoted_->counts().without_room += 1;
    LeaveFlow(one.own.fd.get());
    ReadQueued(*one.socket, one.own.fd.get(), &one.flow.info.destination);
  }
  if (!closed_) (void)promoted_->TakeDue();  // they are due again with their next datagram
}

// Reads what was on its way to the socket before connect(2). It may belong to other flows.
void DatagramEngine::ReadOpened(const OpenedFlow& one) {
  if (TakesAllUntilConnected())
    ReadQueued(*one.socket, one.own.fd.get(), &one.flow.info.destination);
}

// Passes a socket to the owner of its flow. Returns false if there is no room. A closed engine
// abandons the socket then, and returns true.
bool DatagramEngine::PassFirst(OpenedFlow* one) {
  promoted_->Forget(one->flow);  // what has been read here is older than the socket
  if (Pass(one->flow, &one->own)) {
    promoted_->counts().ever += 1;
    return true;
  }
  if (closed_) Abandon(one->flow, one->own.fd.get());
  return closed_;
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
  promoted_->counts().strays += 1;
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

}  // namespace rss
