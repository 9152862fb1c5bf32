// What the kernel forwards between two connections: through a pipe, and on its own.
#include <poll.h>
#include <string.h>

#include <thread>

#include "platform/posix/accept.h"
#include "platform/posix/connect.h"
#include "platform/posix/listener.h"
#include "platform/posix/stream.h"
#include "test/check.h"
#include "test/pair.h"

namespace rss_test {
namespace {

using namespace rss;

struct Connected {
  UniqueFd outer, inner;  // both ends
};

Connected Connect() {
  Connected both;
  ListenerOptions options;
  options.address = ParseAddress("127.0.0.1", 0).value;
  auto listener = OpenListener(options);
  if (!listener.ok()) return both;
  auto client = rss::Connect({Transport::kTcp, listener.value.address, {}, -1});
  Connection accepted;
  if (!client.ok() || !Await(listener.value.fd.get(), POLLIN) ||
      AcceptConnection(listener.value.fd.get(), &accepted) != 0)
    return both;
  both.outer = std::move(client.value);
  both.inner = std::move(accepted.fd);
  Await(both.outer.get(), POLLOUT);
  return both;
}

void Send(const UniqueFd& fd, const std::string& text) {
  iovec part{const_cast<char*>(text.data()), text.size()};
  Check(SendStream(fd.get(), &part, 1) == static_cast<ssize_t>(text.size()), "sent: " + text);
}

std::string Receive(const UniqueFd& fd, size_t size) {
  std::string got(size, '\0');
  size_t length = 0;
  while (length < size && Await(fd.get(), POLLIN)) {
    ssize_t received = ReceiveStream(fd.get(), &got[length], size - length);
    if (received <= 0) break;
    length += static_cast<size_t>(received);
  }
  return got.substr(0, length);
}

void TestPipe() {
  Pipe pipe = Pipe::Open();
  if (!pipe) return Skip("a pipe between two connections", "this system has no splice(2)");
  Connected from = Connect(), to = Connect();
  int source = from.inner.get(), sink = to.inner.get();
  Check(pipe.Fill(source, 100) == -EAGAIN, "pipe: nothing is there yet");
  Send(from.outer, "through a pipe");
  Await(source, POLLIN);
  Check(pipe.Fill(source, 9) == 9 && pipe.held() == 9, "pipe: takes as much as is asked for");
  Check(pipe.Empty(sink) == 9 && pipe.held() == 0, "pipe: gives all of it");
  Check(Receive(to.outer, 9) == "through a", "pipe: the bytes arrive");
  Check(pipe.Fill(source, 100) == 5, "pipe: takes the rest");
  uint8_t rest[8];
  Check(pipe.Read(rest, sizeof rest) == 5 && memcmp(rest, " pipe", 5) == 0 && pipe.held() == 0,
        "pipe: what it holds can be read");
  ResetOnClose(from.outer.get());
  from.outer.reset();
  Await(source, POLLIN);
  Check(pipe.Fill(source, 100) == -ECONNRESET, "ResetOnClose(): the peer is reset");
  to.outer.reset();
  Await(sink, POLLIN);
  Check(pipe.Fill(sink, 100) == 0, "pipe: the end of a stream");
}

void TestJoin() {
  Connected from = Connect(), to = Connect();
  int source = from.inner.get(), sink = to.inner.get();
  Check(JoinSockets(source, sink, 14) && JoinSockets(sink, source, 14), "SO_SPLICE: both ways");
  Send(from.outer, "forth");
  Check(Receive(to.outer, 5) == "forth", "SO_SPLICE: forth");
  Send(to.outer, "back");
  Check(Receive(from.outer, 4) == "back", "SO_SPLICE: back");
  Check(JoinedBytes(source) == 5 && JoinedBytes(sink) == 4, "SO_SPLICE: bytes are counted");
  pollfd quiet{source, POLLIN, 0};
  Check(poll(&quiet, 1, 0) == 0, "SO_SPLICE: nothing is reported meanwhile");
  Send(from.outer, "123456789+more");
  Check(Receive(to.outer, 9) == "123456789", "SO_SPLICE: up to the limit");
  Check(Receive(from.inner, 5) == "+more", "SO_SPLICE: the rest can be read");
  Check(JoinedBytes(source) == 14, "SO_SPLICE: the count stays");
  LeaveSockets(source);
  LeaveSockets(sink);
  Send(to.outer, "not forwarded");
  Check(Receive(to.inner, 13) == "not forwarded", "SO_SPLICE: ended");
  Check(JoinSockets(source, sink, 1e9), "SO_SPLICE: begun again");
  shutdown(from.outer.get(), SHUT_WR);
  char byte;
  Check(Await(source, POLLIN) && ReceiveStream(source, &byte, 1) == 0,
        "SO_SPLICE: the end of the stream is reported");
}

// Both ways joined, and one of the outer ends is reset.
void TestJoinedResets() {
  for (bool first : {true, false}) {
    Connected from = Connect(), to = Connect();
    int source = from.inner.get(), sink = to.inner.get();
    bool joined = JoinSockets(source, sink, 1e9) && JoinSockets(sink, source, 1e9);
    Connected& broken = first ? from : to;
    ResetOnClose(broken.outer.get());
    broken.outer.reset();
    char byte;
    Check(joined && Await(broken.inner.get(), POLLIN) &&
              ReceiveStream(broken.inner.get(), &byte, 1) == -ECONNRESET,
          first ? "SO_SPLICE: a reset is reported" : "SO_SPLICE: one of the other end, too");
  }
}

// What a connection has sent before the kernel forwards to it is acknowledged meanwhile.
void TestJoinedAcks() {
  Connected from = Connect(), to = Connect();
  int source = from.inner.get(), sink = to.inner.get();
  AckQueue queue;
  iovec part{const_cast<char*>("before"), 6};
  bool waits = queue.Open() && queue.Prepare(sink, 9) && SendStream(sink, &part, 1, true) == 6 &&
               queue.Await(sink, 9, true) && JoinSockets(source, sink, 1e9);
  Check(waits && ComesTrue([&] { return Unacknowledged(sink) == 0; }),
        "SO_SPLICE: what was sent before is acknowledged");
  EmptyProbe probe;
  Check(probe.Ask(sink), "SO_SPLICE: the socket says so when it is asked");
  pollfd report{queue.fd(), POLLIN, 0};
  printf("        SO_SPLICE: that is reported meanwhile: %s\n",
         poll(&report, 1, 0) == 1 ? "yes" : "no");
  LeaveSockets(source);
  uint32_t id = 0;
  Check(Await(queue.fd(), POLLIN) && queue.Take(&id, 1) == 1 && id == 9,
        "SO_SPLICE: it is reported at the latest when the splice ends");
}

bool SendWhole(int fd, const char* data, size_t size) {
  while (size > 0 && Await(fd, POLLOUT)) {
    iovec part{const_cast<char*>(data), size};
    ssize_t sent = SendStream(fd, &part, 1);
    if (sent < 0 && sent != -EAGAIN) return false;
    if (sent < 0) continue;
    data += sent;
    size -= static_cast<size_t>(sent);
  }
  return size == 0;
}

// The kernel and this program forward by turns while bytes flow. Every other turn ends in the midst
// of them, and the others at the limit.
void TestJoinedTraffic() {
  constexpr size_t kTotal = 8 << 20, kCopied = 64 << 10;
  constexpr double kMost = 300000;
  Connected from = Connect(), to = Connect();
  int source = from.inner.get(), sink = to.inner.get();
  std::string all(kTotal, '\0'), buffer(kCopied, '\0'), got;
  for (size_t i = 0; i < kTotal; ++i) all[i] = static_cast<char>(i * 31 + i / 4096);
  std::thread sender([&] {
    if (SendWhole(from.outer.get(), all.data(), kTotal)) shutdown(from.outer.get(), SHUT_WR);
  });
  std::thread receiver([&] { got = ReadAll(to.outer.get(), kTotal); });
  size_t joined = 0, copied = 0;
  int turns = 0, refused = 0;
  bool limited = true;
  for (ssize_t last = 1; last != 0; ++turns) {
    pollfd stopped{source, POLLIN, 0};
    auto flows = [&] { return JoinedBytes(source) > 0 || poll(&stopped, 1, 0) == 1; };
    if (!JoinSockets(source, sink, kMost)) {
      ++refused;
    } else {
      if (turns % 2 == 0 ? !Await(source, POLLIN) : !ComesTrue(flows)) break;
      LeaveSockets(source);
      double forwarded = JoinedBytes(source);
      limited = limited && forwarded <= kMost;
      joined += static_cast<size_t>(forwarded);
    }
    last = ReceiveStream(source, &buffer[0], kCopied);
    if (last < 0 && last != -EAGAIN) break;
    if (last <= 0) continue;
    copied += static_cast<size_t>(last);
    if (!SendWhole(sink, buffer.data(), static_cast<size_t>(last))) break;
  }
  sender.join();
  shutdown(sink, SHUT_WR);
  receiver.join();
  printf("        SO_SPLICE: %d turns, %zu bytes by the kernel, %zu copied, %d times refused\n",
         turns, joined, copied, refused);
  Check(got == all && joined + copied == kTotal && limited,
        "SO_SPLICE: begun and ended in the midst of bytes, it loses none",
        std::to_string(got.size()) + " arrived");
}

}  // namespace

void TestSplicing() {
  TestPipe();
  if (!CanJoinSockets()) return Skip("SO_SPLICE", "this kernel does not have it");
  TestJoin();
  TestJoinedResets();
  TestJoinedAcks();
  TestJoinedTraffic();
}

}  // namespace rss_test
