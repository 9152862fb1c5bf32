// The output of DatagramEngine: replies, and datagrams that answer none.
#include <algorithm>

#include "engine/datagram_sockets.h"

namespace rss {
namespace {

bool IsFull(int sent) {
  return sent == -EAGAIN || sent == -ENOBUFS;
}

}  // namespace

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
