// Load on a UDP server: `sockets` connected sockets with `window` requests in flight each. Requests
// are sent by UDP_SEGMENT, several per call, so that the client costs less than any server.
//
//   load_udp [host=ADDRESS] port=N pid=N work=echo|get [length=510] [sockets=16] [window=32]
//            [cpu=1] [spin=1]
//
// echo: numbered datagrams of `length` bytes. The first bytes of every answer are compared, and all
// bytes of every sixteenth batch. get: memcached's frames, which are compared as a whole.
#include <errno.h>
#include <netinet/in.h>
#include <netinet/udp.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "keys.h"
#include "loopback.h"
#include "program.h"
#include "slices.h"

#ifndef UDP_SEGMENT
#define UDP_SEGMENT 103
#endif

namespace {

using namespace bench;

constexpr unsigned kBatch = 64;
constexpr size_t kLongest = 2048;
constexpr double kLostAfter = 0.2;  // seconds
constexpr size_t kHead = 16;        // bytes read of an answer that is not compared whole

struct Socket {
  int fd = -1;
  unsigned outstanding = 0;
  uint32_t next = 0;  // number of the next request
  double sent = 0;
};

// Request and answer number n. Both begin with the number, big endian.
class Messages {
 public:
  Messages(bool echo, size_t length) : echo_(echo), length_(echo ? length : 8 + 15) {
    for (unsigned n = 0; n < kKeys; ++n) {
      requests_ += "get " + KeyOf(n) + "\r\n";
      answers_ += ItemOf(n) + "END\r\n";
    }
    for (size_t i = 0; i < kLongest; ++i) pattern_ += static_cast<char>(i * 7 + i / 251);
  }
  size_t length() const { return length_; }
  size_t answer_length() const { return echo_ ? length_ : 8 + answers_.size() / kKeys; }
  size_t compared() const { return echo_ ? kHead : answer_length(); }

  void Write(uint32_t n, uint8_t* to) const {
    // memcached's frame: request id, sequence number, datagrams, reserved.
    const uint8_t frame[8] = {static_cast<uint8_t>(n >> 8), static_cast<uint8_t>(n), 0, 0, 0, 1};
    memcpy(to, frame, sizeof frame);
    if (echo_)
      memcpy(to + 8, pattern_.data(), length_ - 8);
    else
      memcpy(to + 8, requests_.data() + KeyFor(n) * 15, 15);
  }
  bool IsAnswer(const uint8_t* bytes, size_t length) const {
    uint32_t n = static_cast<uint32_t>(bytes[0]) << 8 | bytes[1];
    if (echo_) return memcmp(bytes + 8, pattern_.data(), length - 8) == 0;
    size_t each = answers_.size() / kKeys;
    return length == 8 + each && memcmp(bytes + 8, answers_.data() + KeyFor(n) * each, each) == 0;
  }

 private:
  static size_t KeyFor(uint32_t n) { return (n & 0xffff) * 7919u % kKeys; }

  bool echo_;
  size_t length_;
  std::string requests_, answers_, pattern_;
};

}  // namespace

int main(int count, char** words) {
  Arguments arguments(count, words);
  sockaddr_in address = ServerOf(&arguments);
  int pid = static_cast<int>(arguments.Number("pid", 0));
  Messages messages(arguments.Text("work", "echo") == "echo",
                    static_cast<size_t>(arguments.Number("length", 510)));
  auto sockets_count = static_cast<size_t>(arguments.Number("sockets", 16));
  auto window = static_cast<unsigned>(arguments.Number("window", 32));
  // Without spinning, it waits: it shares its CPU with a server.
  int wait_ms = arguments.Number("spin", 1) != 0 ? 0 : 20;
  PinTo(static_cast<int>(arguments.Number("cpu", 1)));
  arguments.End();

  std::vector<Socket> sockets(sockets_count);
  int poll = epoll_create1(0);
  for (size_t i = 0; i < sockets.size(); ++i) {
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0);
    int buffer = 4 << 20, segment = static_cast<int>(messages.length());
    setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &buffer, sizeof buffer);
    setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &buffer, sizeof buffer);
    if (setsockopt(fd, IPPROTO_UDP, UDP_SEGMENT, &segment, sizeof segment) != 0)
      Fail("UDP_SEGMENT");
    if (connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) Fail("connect");
    epoll_event event{};
    event.events = EPOLLIN;
    event.data.u64 = i;
    epoll_ctl(poll, EPOLL_CTL_ADD, fd, &event);
    sockets[i].fd = fd;
  }

  Slices slices(pid);
  static uint8_t outgoing[kBatch * kLongest], incoming[kBatch][kLongest];
  mmsghdr headers[kBatch];
  iovec parts[kBatch];
  memset(headers, 0, sizeof headers);
  for (unsigned i = 0; i < kBatch; ++i) {
    parts[i].iov_base = incoming[i];
    headers[i].msg_hdr.msg_iov = &parts[i];
    headers[i].msg_hdr.msg_iovlen = 1;
  }
  uint64_t operations = 0, batches = 0, outstanding = 0;
  bool asking = false;
  unsigned most = static_cast<unsigned>(std::min<size_t>(kBatch, 60000 / messages.length()));
  auto fill = [&](Socket& s, double now) {
    while (asking && s.outstanding < window) {
      unsigned n = std::min(window - s.outstanding, most);
      for (unsigned i = 0; i < n; ++i) messages.Write(s.next + i, outgoing + i * messages.length());
      if (send(s.fd, outgoing, n * messages.length(), 0) < 0) {
        if (errno == EAGAIN || errno == ENOBUFS || errno == ECONNREFUSED) break;
        Fail("send");
      }
      s.next += n;
      s.outstanding += n;
      outstanding += n;
      s.sent = now;
    }
  };
  epoll_event events[64];
  while (slices.Next()) {
    double now = Now();
    asking = true;
    for (Socket& s : sockets) fill(s, now);
    for (;;) {
      now = Now();
      asking = slices.Asking(now, operations);
      if (!asking && outstanding == 0) break;
      int ready = epoll_wait(poll, events, 64, wait_ms);
      if (ready <= 0) {
        for (Socket& s : sockets) {
          if (now - s.sent < kLostAfter) continue;
          slices.lost += s.outstanding;
          outstanding -= s.outstanding;
          s.outstanding = 0;
          fill(s, now);
        }
        slices.idle += Now() - now;
        continue;
      }
      for (int e = 0; e < ready; ++e) {
        Socket& s = sockets[events[e].data.u64];
        for (;;) {
          bool whole = batches++ % 16 == 0;
          size_t size = whole ? messages.answer_length() : messages.compared();
          for (iovec& part : parts) part.iov_len = size;
          int got = recvmmsg(s.fd, headers, kBatch, MSG_DONTWAIT | MSG_TRUNC, nullptr);
          if (got <= 0) break;
          for (int i = 0; i < got; ++i)
            if (headers[i].msg_len != messages.answer_length() ||
                !messages.IsAnswer(incoming[i], size))
              ++slices.bad;
          operations += static_cast<uint64_t>(got);
          // Answers that were counted as lost may still arrive.
          unsigned answered = std::min(s.outstanding, static_cast<unsigned>(got));
          s.outstanding -= answered;
          outstanding -= answered;
          slices.latencies.Add(now - s.sent);
          if (got < static_cast<int>(kBatch)) break;
        }
        if (s.outstanding <= window / 2) fill(s, now);
      }
    }
    slices.Print();
  }
  return 0;
}
