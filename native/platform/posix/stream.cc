#include "platform/posix/stream.h"

#include <string.h>
#include <sys/stat.h>
#include <sys/un.h>

namespace rss {
namespace {

Result<sockaddr_un> UnixAddress(const std::string& path) {
  sockaddr_un address{};
  if (path.empty() || path.size() >= sizeof address.sun_path)
    return MakeFailure(
        ENAMETOOLONG, "bind",
        "a Unix socket's path has 1 to " + std::to_string(sizeof address.sun_path - 1) + " bytes");
  address.sun_family = AF_UNIX;
  memcpy(address.sun_path, path.data(), path.size());
  return address;
}

UniqueFd StreamSocket(int family) {
  return UniqueFd(socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
}

const sockaddr* Generic(const sockaddr_un& address) {
  return reinterpret_cast<const sockaddr*>(&address);
}

// True when the path is a socket file without a server.
bool IsAbandoned(const std::string& path, const sockaddr_un& address) {
  struct stat status;
  if (lstat(path.c_str(), &status) != 0 || !S_ISSOCK(status.st_mode)) return false;
  UniqueFd probe = StreamSocket(AF_UNIX);
  return probe && connect(probe.get(), Generic(address), sizeof address) != 0 &&
         errno == ECONNREFUSED;
}

}  // namespace

ssize_t ReceiveStream(int fd, void* buffer, size_t size) {
  ssize_t received;
  do {
    received = ReceiveNow(fd, buffer, size);
  } while (received < 0 && errno == EINTR);
  return received < 0 ? -errno : received;
}

ssize_t SendStream(int fd, const iovec* parts, int count, bool report_ack) {
  ssize_t sent;
  do {
    if (count == 1 && !report_ack) {
      sent = SendNow(fd, parts[0].iov_base, parts[0].iov_len);
    } else {
      msghdr message{};
      message.msg_iov = const_cast<iovec*>(parts);
      message.msg_iovlen = static_cast<decltype(message.msg_iovlen)>(count);
      alignas(cmsghdr) uint8_t control[kControlSize];
      if (report_ack) message.msg_controllen = static_cast<socklen_t>(BuildAckControl(control));
      if (message.msg_controllen > 0) message.msg_control = control;
      sent = sendmsg(fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
    }
  } while (sent < 0 && errno == EINTR);
  if (sent >= 0) return sent;
  // ENOBUFS on FreeBSD: no mbufs now. The caller waits, as for a full send buffer.
  return errno == ENOBUFS || errno == EWOULDBLOCK ? -EAGAIN : -errno;
}

Result<UniqueFd> ConnectUnix(const std::string& path) {
  auto address = UnixAddress(path);
  if (!address.ok()) return address.failure;
  UniqueFd fd = StreamSocket(AF_UNIX);
  if (!fd) return LastError("socket");
  if (connect(fd.get(), Generic(address.value), sizeof address.value) != 0 && errno != EINPROGRESS)
    return LastError("connect");
  return fd;
}

int ConnectError(int fd) {
  int error = 0;
  socklen_t length = sizeof error;
  if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &length) != 0) return -errno;
  return -error;
}

void ResetOnClose(int fd) {
  linger at_once{1, 0};
  setsockopt(fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
}

bool IsConnected(int fd) {
  SocketAddress peer;
  socklen_t length = sizeof peer.v6;
  return getpeername(fd, &peer.sa, &length) == 0;
}

Status ConnectionAddresses(int fd, SocketAddress* local, SocketAddress* peer) {
  socklen_t length = sizeof local->v6;
  if (getsockname(fd, &local->sa, &length) != 0) return LastError("getsockname");
  length = sizeof peer->v6;
  if (getpeername(fd, &peer->sa, &length) != 0) return LastError("getpeername");
  return Nothing{};
}

Route PeerRoute(int fd) {
  SocketAddress local, peer;
  return ConnectionAddresses(fd, &local, &peer).ok() ? RouteTo(peer, 1) : Route::kUnknown;
}

Result<UniqueFd> ListenUnix(const std::string& path, int mode, int backlog) {
  auto address = UnixAddress(path);
  if (!address.ok()) return address.failure;
  UniqueFd fd = StreamSocket(AF_UNIX);
  if (!fd) return LastError("socket");
  if (IsAbandoned(path, address.value)) unlink(path.c_str());
  if (bind(fd.get(), Generic(address.value), sizeof address.value) != 0) return LastError("bind");
  if (chmod(path.c_str(), static_cast<mode_t>(mode)) != 0) {
    Failure failure = LastError("chmod");
    unlink(path.c_str());
    return failure;
  }
  if (listen(fd.get(), backlog) != 0) {
    Failure failure = LastError("listen");
    unlink(path.c_str());
    return failure;
  }
  return fd;
}

}  // namespace rss
