// Sizes the buffers of sockets, by options and by what datagrams need.
#pragma once

#include <vector>

#include "platform/platform.h"

namespace rss {

struct BufferSizes {
  int receive = 0;
  int send = 0;
};

// Sizes that suit datagrams of up to `datagram_size` bytes. The receive buffer has room for
// several. FreeBSD does not send a datagram that is larger than the send buffer (EMSGSIZE).
BufferSizes DatagramBuffers(int datagram_size);

struct BufferRequest {
  BufferSizes exact;      // in bytes; 0 leaves the system's default
  int datagram_size = 0;  // of a UDP socket: smaller buffers are enlarged where `exact` has none
};

// A buffer that is smaller than requested, or than one datagram needs.
struct ShortBuffer {
  Buffer which;
  int wanted;
  int granted;
};

std::vector<ShortBuffer> SizeBuffers(int fd, const BufferRequest& request);

}  // namespace rss
