#include "platform/posix/datagrams.h"

#include <string.h>
#include <sys/uio.h>

namespace rss {

namespace {

// A segment must fit the path's MTU, and the total one message.
constexpr size_t kLargestSegment = 1400, kLargestMessage = 65000;

bool SamePath(const OutgoingDatagram& a, const OutgoingDatagram& b) {
  if (a.peer != b.peer && *a.peer != *b.peer) return false;
  if (a.source == b.source) return true;
  return a.source != nullptr && b.source != nullptr && *a.source == *b.source;
}

// Returns how many datagrams, from the first on, can be sent as one message. All but the last must
// have the same length; the last may be shorter.
int SegmentsOf(const OutgoingDatagram* datagrams, int count) {
  size_t size = datagrams[0].length, total = size;
  if (size == 0 || size > kLargestSegment) return 1;
  int run = 1;
  for (; run < count; ++run) {
    size_t length = datagrams[run].length;
    total += length;
    if (length == 0 || length > size || total > kLargestMessage) break;
    if (!SamePath(datagrams[0], datagrams[run])) break;
    if (length < size) return run + 1;
  }
  return run;
}

// Receives into the headers and rows from `first` on.
int ReceiveBatch(int fd, mmsghdr* headers, int first, size_t cell_size, ReceivedDatagram* out) {
  unsigned most = static_cast<unsigned>(kDatagramBatch - first);
  int count;
  do {
    count = static_cast<int>(recvmmsg(fd, headers + first, most, MSG_DONTWAIT, nullptr));
  } while (count < 0 && errno == EINTR);
  if (count < 0) return -errno;
  for (int i = first; i < first + count; ++i) {
    out[i].cell = static_cast<uint32_t>(i);
    out[i].length = headers[i].msg_len;
    out[i].truncated = (headers[i].msg_hdr.msg_flags & MSG_TRUNC) != 0;
    if (out[i].length > cell_size) out[i].length = static_cast<uint32_t>(cell_size);
  }
  return count;
}

// The kernel replaces these lengths by those that it has used.
void SetLengths(msghdr* header) {
  header->msg_namelen = sizeof(sockaddr_in6);
  header->msg_controllen = kControlSize;
}

}  // namespace

Status ReportFlows(int fd, bool on) {
  // FreeBSD delivers the flow's messages reliably only beside the destination.
  for (SocketOption option : {SocketOption::kRecvDestination, SocketOption::kRecvFlowId}) {
    Status status = SetOption(fd, option, on ? 1 : 0);
    if (!status.ok()) return status;
  }
  return Nothing{};
}

Result<KernelFlow> NextFlow(int fd) {
  alignas(cmsghdr) char control[kControlSize];
  msghdr header;
  memset(&header, 0, sizeof header);
  header.msg_control = control;
  header.msg_controllen = sizeof control;
  // Without room for a byte, FreeBSD returns 0 instead of EAGAIN.
  char byte;
  iovec room{&byte, sizeof byte};
  header.msg_iov = &room;
  header.msg_iovlen = 1;
  if (recvmsg(fd, &header, MSG_PEEK | MSG_DONTWAIT) < 0) {
    Failure failure = LastError("recvmsg");
    // MSG_PEEK leaves an ICMP error pending on FreeBSD; reading it clears it.
    int error = 0;
    socklen_t length = sizeof error;
    if (failure.error != -EAGAIN) getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &length);
    return failure;
  }
  return header.msg_controllen == 0 ? KernelFlow() : ParseControl(header).flow;
}

struct DatagramBatcher::State {
  bool prepared = false;  // for receiving
  mmsghdr receive[kDatagramBatch];
  mmsghdr receive_connected[kDatagramBatch];  // the kernel changes only results in these
  iovec receive_iov[kDatagramBatch];
  mmsghdr send[kDatagramBatch];
  iovec send_iov[kDatagramBatch];
  int send_first[kDatagramBatch + 1];  // index of the first datagram of each message
  bool segments = true;                // false once the kernel has refused them
  alignas(cmsghdr) char receive_control[kDatagramBatch][kControlSize];
  alignas(cmsghdr) char send_control[kDatagramBatch][kControlSize];
};

DatagramBatcher::DatagramBatcher() : state_(std::make_unique<State>()) {
  memset(state_->receive, 0, sizeof state_->receive);
  memset(state_->receive_connected, 0, sizeof state_->receive_connected);
  memset(state_->send, 0, sizeof state_->send);
}

DatagramBatcher::~DatagramBatcher() = default;

// Sets all that the kernel never changes.
void DatagramBatcher::Prepare(uint8_t* slab, size_t stride, size_t cell_size,
                              ReceivedDatagram* out) {
  State& s = *state_;
  if (s.prepared) return;
  s.prepared = true;
  for (int i = 0; i < kDatagramBatch; ++i) {
    s.receive_iov[i] = {slab + i * stride, cell_size};
    for (msghdr* header : {&s.receive[i].msg_hdr, &s.receive_connected[i].msg_hdr}) {
      header->msg_iov = &s.receive_iov[i];
      header->msg_iovlen = 1;
    }
    s.receive[i].msg_hdr.msg_name = &out[i].peer.sa;
    s.receive[i].msg_hdr.msg_control = s.receive_control[i];
    SetLengths(&s.receive[i].msg_hdr);
  }
}

int DatagramBatcher::Receive(int fd, int first, uint8_t* slab, size_t stride, size_t cell_size,
                             ReceivedDatagram* out) {
  Prepare(slab, stride, cell_size, out);
  mmsghdr* headers = state_->receive;
  int count = ReceiveBatch(fd, headers, first, cell_size, out);
  for (int i = first; i < first + count; ++i) {
    const msghdr& header = headers[i].msg_hdr;
    out[i].info = header.msg_controllen == 0 ? DatagramInfo() : ParseControl(header);
    SetLengths(&headers[i].msg_hdr);
  }
  if (count < 0) SetLengths(&headers[first].msg_hdr);
  return count;
}

int DatagramBatcher::ReceiveConnected(int fd, int first, uint8_t* slab, size_t stride,
                                      size_t cell_size, ReceivedDatagram* out) {
  Prepare(slab, stride, cell_size, out);
  return ReceiveBatch(fd, state_->receive_connected, first, cell_size, out);
}

int DatagramBatcher::Send(int fd, const OutgoingDatagram* datagrams, int count) {
  return Send(fd, datagrams, count, state_->segments);
}

int DatagramBatcher::Send(int fd, const OutgoingDatagram* datagrams, int count, bool segments) {
  State& s = *state_;
  if (count == 1 && datagrams[0].peer == nullptr) {
    // send(2) costs half as much as sendmmsg(2).
    ssize_t sent = SendNow(fd, datagrams[0].data, datagrams[0].length);
    return sent < 0 ? -errno : 1;
  }
  if (count > kDatagramBatch) count = kDatagramBatch;
  unsigned messages = 0;
  for (int at = 0; at < count; ++messages) {
    const OutgoingDatagram& first = datagrams[at];
    msghdr& header = s.send[messages].msg_hdr;
    char* control = s.send_control[messages];
    size_t length = first.peer == nullptr
                        ? 0
                        : BuildReplyControl(first.source, *first.peer, first.flow, control);
    int run = segments ? SegmentsOf(datagrams + at, count - at) : 1;
    if (run > 1) {
      size_t more = BuildSegmentControl(static_cast<uint16_t>(first.length), control + length);
      if (more == 0) s.segments = segments = false, run = 1;
      length += more;
    }
    // FreeBSD: EISCONN when a connected socket is given an address.
    header.msg_name = first.peer == nullptr ? nullptr : const_cast<sockaddr*>(&first.peer->sa);
    header.msg_namelen = first.peer == nullptr ? 0 : first.peer->length();
    header.msg_iov = &s.send_iov[at];
    header.msg_iovlen = static_cast<decltype(header.msg_iovlen)>(run);
    header.msg_control = length == 0 ? nullptr : control;
    header.msg_controllen = static_cast<socklen_t>(length);
    s.send_first[messages] = at;
    for (int i = at; i < at + run; ++i)
      s.send_iov[i] = {const_cast<void*>(datagrams[i].data), datagrams[i].length};
    at += run;
  }
  s.send_first[messages] = count;
  int sent;
  do {
    sent = static_cast<int>(sendmmsg(fd, s.send, messages, MSG_DONTWAIT));
  } while (sent < 0 && errno == EINTR);
  if (sent >= 0) return s.send_first[sent];
  int error = -errno;
  if (s.send_first[1] == 1) return error;
  // The path's MTU is too small for segments: EMSGSIZE from Linux 6.14 on, EINVAL before. Other
  // paths may take them.
  if (error == -EMSGSIZE) return Send(fd, datagrams, s.send_first[1], false);
  if (error != -EINVAL && error != -EIO) return error;
  int alone = Send(fd, datagrams, s.send_first[1], false);
  // Sending works without segments: the kernel is older than 4.18, or the device lacks them.
  if (alone > 0) s.segments = false;
  return alone;
}

}  // namespace rss
