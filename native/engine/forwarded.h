// A datagram as its reader describes it, and as the inbox of its bucket does: without the payload.
#pragma once

#include "core/datagram_ring.h"
#include "platform/posix/datagrams.h"

namespace rss {

inline ForwardedDatagram ForwardedOf(const ReceivedDatagram& row) {
  ForwardedDatagram datagram;
  datagram.flow = row.flow;
  datagram.kernel = row.info.flow;
  datagram.peer = row.peer;
  if (row.info.has_destination) datagram.local = row.info.destination;
  datagram.endpoint = row.endpoint;
  return datagram;
}

inline void ReadForwarded(const ForwardedDatagram& from, ReceivedDatagram* row) {
  row->flow = from.flow;
  row->endpoint = from.endpoint;
  row->connected = 0;
  row->peer = from.peer;
  row->info = DatagramInfo();
  row->info.flow = from.kernel;
  row->info.has_destination = from.local.family() != 0;
  row->info.destination = from.local;
}

}  // namespace rss
