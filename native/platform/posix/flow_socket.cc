#include "platform/posix/flow_socket.h"

#include <sys/resource.h>

#include <algorithm>

namespace rss {

Result<UniqueFd> OpenFlowSocket(int bound, const SocketAddress& local) {
  UniqueFd fd(socket(local.family(), SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (!fd) return LastError("socket");
  (void)SetBufferSize(fd.get(), Buffer::kReceive, BufferSize(bound, Buffer::kReceive));
  Status status = BindBeside(fd.get(), bound, local);
  if (!status.ok()) return status.failure;
  return fd;
}

Status ConnectFlowSocket(int fd, const SocketAddress& peer) {
  if (connect(fd, &peer.sa, peer.length()) != 0) return LastError("connect");
  return Nothing{};
}

int MostQueued(int fd) {
  // Linux counts at least 512 bytes for each against twice the size, and FreeBSD two mbufs of 256
  // bytes against eight times the size.
  constexpr int kLeastBytes = 64;
  return std::max(BufferSize(fd, Buffer::kReceive) / kLeastBytes, 64);
}

size_t FlowSocketLimit(int workers) {
  constexpr size_t kShare = 4, kFewest = 16, kMost = 4096;
  rlimit descriptors{};
  if (getrlimit(RLIMIT_NOFILE, &descriptors) != 0) return kFewest;
  // FreeBSD and Linux may have rlim_t of different signs.
  auto all = static_cast<uint64_t>(descriptors.rlim_cur);
  auto each = static_cast<size_t>(all / kShare / static_cast<uint64_t>(std::max(workers, 1)));
  return std::min(std::max(each, kFewest), kMost);
}

}  // namespace rss
