#include "test/pair.h"

#include <poll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "platform/posix/accept.h"
#include "platform/posix/connect.h"
#include "platform/posix/listener.h"
#include "platform/posix/stream.h"
#include "test/check.h"

namespace rss_test {
namespace {

constexpr size_t kPiece = 64 * 1024;

}  // namespace

using namespace rss;

double NowMs() {
  timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return static_cast<double>(t.tv_sec) * 1e3 + static_cast<double>(t.tv_nsec) / 1e6;
}

Pair Connect(bool local) {
  Pair pair;
  Connection accepted;
  if (local) {
    int ends[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends) != 0) return pair;
    pair.sender.reset(ends[0]);
    pair.receiver.reset(ends[1]);
    return pair;
  }
  ListenerOptions options;
  options.address = ParseAddress("127.0.0.1", 0).value;
  options.buffers.exact.receive = 1 << 20;
  auto listener = OpenListener(options);
  if (!listener.ok()) return pair;
  auto sender = rss::Connect({Transport::kTcp, listener.value.address, {}, -1});
  if (!sender.ok() || !Await(listener.value.fd.get(), POLLIN) ||
      AcceptConnection(listener.value.fd.get(), &accepted) != 0)
    return pair;
  pair.receiver = std::move(accepted.fd);
  pair.sender = std::move(sender.value);
  Await(pair.sender.get(), POLLOUT);
  return pair;
}

std::string ReadAll(int fd, size_t size) {
  std::string out;
  std::string buffer(kPiece, '\0');
  while (out.size() < size && Await(fd, POLLIN)) {
    ssize_t got = ReceiveStream(fd, &buffer[0], buffer.size());
    if (got <= 0 && got != -EAGAIN) break;
    if (got > 0) out.append(buffer, 0, static_cast<size_t>(got));
  }
  return out;
}

size_t Fill(const Pair& pair) {
  std::string piece(kPiece, 'f');
  iovec part = {piece.data(), piece.size()};
  size_t sent = 0;
  for (int idle = 0; idle < 20;) {
    ssize_t taken = SendStream(pair.sender.get(), &part, 1);
    if (taken > 0)
      sent += static_cast<size_t>(taken), idle = 0;
    else
      usleep(2000), ++idle;
  }
  return sent;
}

bool ComesTrue(const std::function<bool()>& condition) {
  double begin = NowMs();
  while (!condition() && NowMs() - begin < kPatienceMs) usleep(200);
  return condition();
}

}  // namespace rss_test
