// Sizes the buffers of sockets: by what is asked for, and by what datagrams need.
#pragma once

#include <vector>

#include "platform/platform.h"

namespace rss {

struct BufferSizes {
  int receive = 0;
  int send = 0;
};

// What a UDP socket should have for datagrams of up to `datagram_size` bytes: room for several that
// wait to be read. FreeBSD sends none that is larger than the send buffer (EMSGSIZE).
BufferSizes DatagramBuffers(int datagram_size);

struct BufferRequest {
  BufferSizes exact;      // in bytes; 0 leaves the system's default
  int datagram_size = 0;  // of a UDP socket: smaller buffers are enlarged where `exact` has none
};

// The kernel did not grant what was asked for, or what one datagram needs.
struct ShortBuffer {
  Buffer which;
  int wanted;
  int granted;
};

std::vector<ShortBuffer> SizeBuffers(int fd, const BufferRequest& request);

}  // namespace rss
