// The hash that a card gave to received packets (skb->hash). No socket option reads it, but a
// socket filter can compare it.
#include <linux/filter.h>
#include <poll.h>

#include <iterator>

#include "platform/platform.h"
#include "platform/posix/stream.h"

namespace rss {
namespace {

// The peer's answer is sent again after a second, if the filter has dropped it.
constexpr int kBeforeAgainMs = 900;
constexpr int kAnswerMs = 5000;

// Drops all packets with another hash.
Status OnlyWithHash(int fd, uint32_t hash) {
  sock_filter code[] = {
      {BPF_LD | BPF_W | BPF_ABS, 0, 0, static_cast<uint32_t>(SKF_AD_OFF + SKF_AD_RXHASH)},
      {BPF_JMP | BPF_JEQ | BPF_K, 0, 1, hash},
      {BPF_RET | BPF_K, 0, 0, UINT32_MAX},
      {BPF_RET | BPF_K, 0, 0, 0},
  };
  sock_fprog program{std::size(code), code};
  if (setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof program) != 0)
    return LastError("setsockopt", "SO_ATTACH_FILTER");
  return Nothing{};
}

// 0 once it is connected, ETIMEDOUT, or why it has failed.
int WaitConnected(int fd, int milliseconds) {
  pollfd waiting{fd, POLLOUT, 0};
  int ready = poll(&waiting, 1, milliseconds);
  if (ready < 0) return errno;
  return ready == 0 ? ETIMEDOUT : -ConnectError(fd);
}

}  // namespace

Result<bool> HasReceiveHash(SocketAddress local, const SocketAddress& peer, const RssKey& key) {
  UniqueFd fd(socket(local.family(), SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!fd) return LastError("socket");
  local.set_port(0);
  if (bind(fd.get(), &local.sa, local.length()) != 0) return LastError("bind");
  socklen_t length = sizeof local.v6;
  if (getsockname(fd.get(), &local.sa, &length) != 0) return LastError("getsockname");
  uint8_t tuple[kMaxTupleSize];
  size_t size = TupleBytes(peer, local, true, tuple);
  Status status = OnlyWithHash(fd.get(), RssHasher(key).Hash(tuple, size));
  if (!status.ok()) return status.failure;
  if (connect(fd.get(), &peer.sa, peer.length()) != 0 && errno != EINPROGRESS)
    return LastError("connect");
  int error = WaitConnected(fd.get(), kBeforeAgainMs);
  if (error == 0) return true;
  if (error != ETIMEDOUT) return MakeFailure(error, "connect");
  int unused = 0;
  if (setsockopt(fd.get(), SOL_SOCKET, SO_DETACH_FILTER, &unused, sizeof unused) != 0)
    return LastError("setsockopt", "SO_DETACH_FILTER");
  error = WaitConnected(fd.get(), kAnswerMs);
  if (error != 0) return MakeFailure(error, "connect");
  return false;
}

}  // namespace rss
