#include "platform/posix/buffers.h"

#include <algorithm>

namespace rss {
namespace {

constexpr int kWaiting = 8;        // datagrams of the largest size
constexpr int kPerDatagram = 512;  // its address and control messages, which count too

void SizeBuffer(int fd, Buffer which, int exact, int wanted, int least,
                std::vector<ShortBuffer>* out) {
  if (exact > 0) wanted = least = exact;
  if (wanted == 0) return;
  int size = BufferSize(fd, which);
  if (exact > 0 || size < wanted) size = SetBufferSize(fd, which, wanted);
  if (size < least) out->push_back({which, wanted, size});
}

}  // namespace

BufferSizes DatagramBuffers(int datagram_size) {
  return {kWaiting * (datagram_size + kPerDatagram), datagram_size};
}

std::vector<ShortBuffer> SizeBuffers(int fd, const BufferRequest& request) {
  std::vector<ShortBuffer> out;
  int size = request.datagram_size;
  BufferSizes wanted = size > 0 ? DatagramBuffers(size) : BufferSizes();
  SizeBuffer(fd, Buffer::kReceive, request.exact.receive, wanted.receive, size + kPerDatagram,
             &out);
  SizeBuffer(fd, Buffer::kSend, request.exact.send, wanted.send, size, &out);
  return out;
}

}  // namespace rss
