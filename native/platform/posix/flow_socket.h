// UDP sockets of single flows: each is connected, and bound to the same port as the server's bound
// socket. The kernel prefers the exact match.
#pragma once

#include "platform/platform.h"

namespace rss {

// Opens a socket that is bound to `local`, beside `bound`, with a receive buffer as large.
// EADDRINUSE when that socket, or another one of the port, does not share it.
Result<UniqueFd> OpenFlowSocket(int bound, const SocketAddress& local);
Status ConnectFlowSocket(int fd, const SocketAddress& peer);

// At least as many datagrams as can wait in the socket's receive buffer.
int MostQueued(int fd);

// How many sockets of flows each of so many workers may have: of all descriptors that this process
// may open, a quarter is for them.
size_t FlowSocketLimit(int workers);

}  // namespace rss
