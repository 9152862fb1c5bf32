// Reads and writes stream sockets without blocking: TCP and Unix.
#pragma once

#include <sys/types.h>
#include <sys/uio.h>

#include <string>

#include "platform/platform.h"

namespace rss {

// Bytes read, 0 at the end of the stream, or -errno; -EAGAIN when there are none.
ssize_t ReceiveStream(int fd, void* buffer, size_t size);
// Bytes written, or -errno; -EAGAIN when the kernel takes none. `report_ack`: see AckQueue.
ssize_t SendStream(int fd, const iovec* parts, int count, bool report_ack = false);

// Returns a connecting socket, which becomes writable once it is connected or has failed.
Result<UniqueFd> ConnectUnix(const std::string& path);
// The outcome of connecting: 0, or -errno.
int ConnectError(int fd);

// Makes close(2) reset the connection, so that its peer does not mistake the end for an orderly
// one.
void ResetOnClose(int fd);

// Whether the socket has a peer: false after a reset.
bool IsConnected(int fd);
// The addresses of both ends.
Status ConnectionAddresses(int fd, SocketAddress* local, SocketAddress* peer);
// RouteTo() of a connection's peer, for event loops: kPending after a millisecond without an
// answer. kUnknown for a Unix socket, and for one without a peer.
Route PeerRoute(int fd);

// A listening Unix socket with the permissions `mode`. An abandoned socket file is replaced;
// EADDRINUSE when a process listens on it, or when it is another kind of file.
Result<UniqueFd> ListenUnix(const std::string& path, int mode, int backlog);

}  // namespace rss
