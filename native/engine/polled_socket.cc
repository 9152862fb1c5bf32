#include "engine/polled_socket.h"

#include <fcntl.h>

namespace rss {

Status PolledSocket::Register(uv_loop_t* loop) {
  int error = uv_poll_init(loop, poll_.get(), fd_.get());
  if (error != 0) return UvFailure(error, "uv_poll_init");
  poll_.set_initialized();
  return Nothing{};
}

Status PolledSocket::Watch() {
  int error = uv_poll_start(poll_.get(), UV_READABLE, OnPoll);
  if (error != 0) return UvFailure(error, "uv_poll_start");
  return Nothing{};
}

void PolledSocket::OnPoll(uv_poll_t* poll, int status, int) {
  auto* socket = static_cast<PolledSocket*>(poll->data);
  if (socket == nullptr) return;
  // libuv stops a handle on POLLERR; reading the socket clears the error.
  if (status < 0) uv_poll_start(poll, UV_READABLE, OnPoll);
  socket->OnReadable();
}

Result<DuplicatedSocket> DuplicateSocket(int fd, Transport transport) {
  auto kind = InspectSocket(fd);
  if (!kind.ok()) return kind.failure;
  bool tcp = transport == Transport::kTcp;
  if (kind->transport != transport)
    return MakeFailure(EPROTOTYPE, "adopt", tcp ? "not a TCP socket" : "not a UDP socket");
  if (tcp && !kind->listening) return MakeFailure(EINVAL, "adopt", "not a listening socket");
  DuplicatedSocket out;
  out.fd.reset(fcntl(fd, F_DUPFD_CLOEXEC, 0));
  if (!out.fd) return LastError("fcntl");
  out.kind = *kind;
  return out;
}

}  // namespace rss
