// Receives and sends UDP datagrams in batches: recvmmsg(2) and sendmmsg(2). On FreeBSD these are
// loops in libc, which save crossings into JavaScript, not into the kernel.
#pragma once

#include <memory>
#include <vector>

#include "platform/platform.h"

namespace rss {

constexpr int kDatagramBatch = 64;
// Most bytes of a datagram: of UDP over IPv4.
constexpr int kLargestDatagram = 65507;

struct ReceivedDatagram {
  uint32_t cell = 0;  // index in the slab
  uint32_t length = 0;
  bool truncated = false;
  SocketAddress peer;
  DatagramInfo info;
  // Set by the caller.
  Flow flow;
  int endpoint = 0;        // of the bound socket that received it, unless
  uint32_t connected = 0;  // this is the id of the connected one
};

struct OutgoingDatagram {
  const void* data = nullptr;
  size_t length = 0;
  const SocketAddress* peer = nullptr;    // null: the socket is connected
  const SocketAddress* source = nullptr;  // null: the kernel chooses
  KernelFlow flow;                        // of the datagram that is answered
};

// Whether the kernel delivers flow id and hash type with each datagram, for NextFlow().
Status ReportFlows(int fd, bool on);
// The kernel's flow of the datagram that will be received next. Fails with an ICMP error of the
// socket, which is cleared by that, and with EAGAIN.
Result<KernelFlow> NextFlow(int fd);

// Reusable headers and control buffers, so that a batch allocates nothing.
class DatagramBatcher {
 public:
  DatagramBatcher();
  ~DatagramBatcher();

  // Reads datagrams into the rows of `out` from `first` on, kDatagramBatch in all; that of row i
  // into slab + i * stride (cell_size bytes of it). `slab` and `out` must be the same in every
  // call. Returns the number of datagrams, or -errno; -EAGAIN when there are none.
  int Receive(int fd, int first, uint8_t* slab, size_t stride, size_t cell_size,
              ReceivedDatagram* out);
  // The same for a connected socket. Leaves out peers and info, which cost as much as the payload.
  int ReceiveConnected(int fd, int first, uint8_t* slab, size_t stride, size_t cell_size,
                       ReceivedDatagram* out);

  // Sends up to kDatagramBatch datagrams. Returns how many the kernel took, or -errno of the first.
  int Send(int fd, const OutgoingDatagram* datagrams, int count);

 private:
  struct State;
  void Prepare(uint8_t* slab, size_t stride, size_t cell_size, ReceivedDatagram* out);
  int Send(int fd, const OutgoingDatagram* datagrams, int count, bool segments);
  std::unique_ptr<State> state_;
};

}  // namespace rss
