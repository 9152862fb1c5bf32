// What the kernel forwards between two connections: through a pipe, and on its own.
#include <poll.h>
#include <string.h>

#include "platform/posix/accept.h"
#include "platform/posix/connect.h"
#include "platform/posix/listener.h"
#include "platform/posix/stream.h"
#include "test/check.h"

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
  if (!CanJoinSockets()) return Skip("SO_SPLICE", "this kernel does not have it");
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

}  // namespace

void TestSplicing() {
  TestPipe();
  TestJoin();
}

}  // namespace rss_test
