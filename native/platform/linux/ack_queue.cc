// Reports of acknowledgements are timestamps in a socket's error queue
// (Documentation/networking/timestamping.rst), and epoll(7) tells which sockets have some.
#include <linux/net_tstamp.h>
#include <netinet/in.h>
#include <poll.h>
#include <string.h>
#include <sys/epoll.h>

#include <algorithm>

#include "platform/linux/report_acks.h"
#include "platform/platform.h"
#include "platform/posix/control.h"

namespace rss {
namespace {

constexpr int kProbeMs = 100;
constexpr size_t kMostEvents = 64;

void Drain(int socket) {
  constexpr unsigned kAtOnce = 8;
  mmsghdr reports[kAtOnce];
  int count;
  do {
    memset(reports, 0, sizeof reports);
    count = recvmmsg(socket, reports, kAtOnce, MSG_ERRQUEUE | MSG_DONTWAIT, nullptr);
  } while (count == kAtOnce);
}

// Sends a byte over loopback. Before 4.7 the kernel refuses the control message; gVisor takes it
// and reports nothing.
bool Probe() {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t length = sizeof address;
  auto* generic = reinterpret_cast<sockaddr*>(&address);
  UniqueFd listener(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  UniqueFd sender(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (bind(listener.get(), generic, length) != 0 || listen(listener.get(), 1) != 0 ||
      getsockname(listener.get(), generic, &length) != 0 ||
      connect(sender.get(), generic, length) != 0)
    return false;
  alignas(cmsghdr) uint8_t control[kControlSize];
  iovec byte{control, 1};
  msghdr message{};
  message.msg_iov = &byte;
  message.msg_iovlen = 1;
  message.msg_controllen = BuildAckControl(control);
  message.msg_control = control;
  if (!ReportAcks(sender.get(), false) || sendmsg(sender.get(), &message, MSG_NOSIGNAL) != 1)
    return false;
  pollfd report{sender.get(), 0, 0};
  return poll(&report, 1, kProbeMs) == 1 && (report.revents & POLLERR) != 0;
}

}  // namespace

bool ReportAcks(int socket, bool all) {
  unsigned flags = SOF_TIMESTAMPING_OPT_TSONLY;
  if (all) flags |= SOF_TIMESTAMPING_TX_ACK;
  return setsockopt(socket, SOL_SOCKET, SO_TIMESTAMPING, &flags, sizeof flags) == 0;
}

size_t BuildAckControl(void* buffer) {
  unsigned flags = SOF_TIMESTAMPING_TX_ACK;
  return WriteControl(buffer, SOL_SOCKET, SO_TIMESTAMPING, flags);
}

bool AckQueue::NeedsEmpty() {
  return false;
}

bool AckQueue::RaisesErrors() {
  return true;
}

bool AckQueue::Open() {
  static const bool reports = Probe();
  if (reports) queue_.reset(epoll_create1(EPOLL_CLOEXEC));
  return static_cast<bool>(queue_);
}

bool AckQueue::Prepare(int socket, uint32_t id) {
  int protocol = 0;
  socklen_t length = sizeof protocol;
  if (getsockopt(socket, SOL_SOCKET, SO_PROTOCOL, &protocol, &length) != 0 ||
      protocol != IPPROTO_TCP)
    return false;
  epoll_event event{};
  event.events = EPOLLET;  // EPOLLERR and EPOLLHUP are always reported
  event.data.u64 = uint64_t{id} << 32 | static_cast<uint32_t>(socket);
  return queue_ && ReportAcks(socket, false) &&
         epoll_ctl(queue_.get(), EPOLL_CTL_ADD, socket, &event) == 0;
}

bool AckQueue::Await(int, uint32_t, bool reported) {
  return reported;
}

size_t AckQueue::Take(uint32_t* ids, size_t most) {
  epoll_event events[kMostEvents];
  int wanted = static_cast<int>(std::min(most, kMostEvents));
  int count = epoll_wait(queue_.get(), events, wanted, 0);
  for (int i = 0; i < count; ++i) {
    uint64_t data = events[i].data.u64;
    // A socket that its owner has given away, too: it would stay readable for epoll(7).
    Drain(static_cast<int>(data & UINT32_MAX));
    ids[i] = static_cast<uint32_t>(data >> 32);
  }
  return static_cast<size_t>(std::max(count, 0));
}

}  // namespace rss
