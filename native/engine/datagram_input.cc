// The input of DatagramEngine: reads bound and connected sockets and the inboxes of its buckets.
#include <string.h>

#include <algorithm>
#include <utility>

#include "engine/datagram_sockets.h"
#include "engine/forwarded.h"
#include "platform/platform.h"

namespace rss {

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
        // A flow is not promoted again by what its new socket has.
        if (promoted_ != nullptr && fd == socket.fd()) promoted_->CountForwarded(row);
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

}  // namespace rss
