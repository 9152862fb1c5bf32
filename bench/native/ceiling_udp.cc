// An upper bound in C: echoes up to 64 datagrams by one recvmmsg(2) and one sendmmsg(2).
//
//   ceiling_udp port=N [cpu=0]
#include <netinet/in.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "loopback.h"
#include "program.h"

int main(int count, char** words) {
  using namespace bench;
  Arguments arguments(count, words);
  auto port = static_cast<uint16_t>(arguments.Number("port", 0));
  PinTo(static_cast<int>(arguments.Number("cpu", 0)));
  arguments.End();
  int fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0);
  int size = 4 << 20;
  setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof size);
  setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof size);
  sockaddr_in address = Loopback(port);
  if (bind(fd, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) Fail("bind");
  int poll = epoll_create1(0);
  epoll_event interest{};
  interest.events = EPOLLIN;
  epoll_ctl(poll, EPOLL_CTL_ADD, fd, &interest);
  constexpr unsigned kBatch = 64;
  static char cells[kBatch][1920];
  static sockaddr_storage peers[kBatch];
  mmsghdr headers[kBatch];
  iovec parts[kBatch];
  memset(headers, 0, sizeof headers);
  for (unsigned i = 0; i < kBatch; ++i) {
    parts[i].iov_base = cells[i];
    headers[i].msg_hdr.msg_iov = &parts[i];
    headers[i].msg_hdr.msg_iovlen = 1;
    headers[i].msg_hdr.msg_name = &peers[i];
  }
  for (epoll_event event;;) {
    epoll_wait(poll, &event, 1, -1);
    for (;;) {
      for (unsigned i = 0; i < kBatch; ++i) {
        parts[i].iov_len = sizeof cells[i];
        headers[i].msg_hdr.msg_namelen = sizeof peers[i];
      }
      int received = recvmmsg(fd, headers, kBatch, MSG_DONTWAIT, nullptr);
      if (received <= 0) break;
      for (int i = 0; i < received; ++i) parts[i].iov_len = headers[i].msg_len;
      for (int sent = 0; sent < received;) {
        int taken = sendmmsg(fd, headers + sent, static_cast<unsigned>(received - sent), 0);
        if (taken <= 0) break;
        sent += taken;
      }
      if (received < static_cast<int>(kBatch)) break;
    }
  }
}
