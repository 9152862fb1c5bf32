#include "platform/posix/datagrams.h"

#include <string.h>
#include <sys/uio.h>

namespace rss {

struct DatagramBatcher::State {
  int used = kDatagramBatch;  // headers of `receive` that are not as they should be
  mmsghdr receive[kDatagramBatch];
  iovec receive_iov[kDatagramBatch];
  mmsghdr send[kDatagramBatch];
  iovec send_iov[kDatagramBatch];
  alignas(cmsghdr) char receive_control[kDatagramBatch][kControlSize];
  alignas(cmsghdr) char send_control[kDatagramBatch][kControlSize];
};

DatagramBatcher::DatagramBatcher() : state_(std::make_unique<State>()) {
  memset(state_->receive, 0, sizeof state_->receive);
  memset(state_->send, 0, sizeof state_->send);
}

DatagramBatcher::~DatagramBatcher() = default;

int DatagramBatcher::Receive(int fd, uint8_t* slab, size_t stride, size_t slot_size,
                             ReceivedDatagram* out) {
  State& s = *state_;
  // The kernel changes the headers it uses; the others are as they were.
  for (int i = 0; i < s.used; ++i) {
    s.receive_iov[i] = {slab + i * stride, slot_size};
    msghdr& header = s.receive[i].msg_hdr;
    header.msg_name = &out[i].peer.sa;
    header.msg_namelen = sizeof out[i].peer.v6;
    header.msg_iov = &s.receive_iov[i];
    header.msg_iovlen = 1;
    header.msg_control = s.receive_control[i];
    header.msg_controllen = kControlSize;
    header.msg_flags = 0;
    s.receive[i].msg_len = 0;
  }
  int count;
  do {
    count = static_cast<int>(recvmmsg(fd, s.receive, kDatagramBatch, MSG_DONTWAIT, nullptr));
  } while (count < 0 && errno == EINTR);
  s.used = count < 0 ? 1 : count;
  if (count < 0) return -errno;
  for (int i = 0; i < count; ++i) {
    const msghdr& header = s.receive[i].msg_hdr;
    out[i].slot = static_cast<uint32_t>(i);
    out[i].length = s.receive[i].msg_len;
    out[i].truncated = (header.msg_flags & MSG_TRUNC) != 0;
    if (out[i].length > slot_size) out[i].length = static_cast<uint32_t>(slot_size);
    out[i].info = header.msg_controllen == 0 ? DatagramInfo() : ParseControl(header);
  }
  return count;
}

int DatagramBatcher::Send(int fd, const OutgoingDatagram* datagrams, int count) {
  State& s = *state_;
  if (count > kDatagramBatch) count = kDatagramBatch;
  for (int i = 0; i < count; ++i) {
    s.send_iov[i] = {const_cast<void*>(datagrams[i].data), datagrams[i].length};
    msghdr& header = s.send[i].msg_hdr;
    header.msg_name = const_cast<sockaddr*>(&datagrams[i].peer->sa);
    header.msg_namelen = datagrams[i].peer->length();
    header.msg_iov = &s.send_iov[i];
    header.msg_iovlen = 1;
    size_t control = BuildReplyControl(datagrams[i].source, *datagrams[i].peer, datagrams[i].flow,
                                       s.send_control[i]);
    header.msg_control = control == 0 ? nullptr : s.send_control[i];
    header.msg_controllen = static_cast<socklen_t>(control);
  }
  int sent;
  do {
    sent = static_cast<int>(sendmmsg(fd, s.send, static_cast<unsigned>(count), MSG_DONTWAIT));
  } while (sent < 0 && errno == EINTR);
  return sent < 0 ? -errno : sent;
}

}  // namespace rss
