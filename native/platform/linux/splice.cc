// splice(2).
#include <fcntl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "platform/platform.h"

namespace rss {
namespace {

// A pipe takes 16 pieces of memory by default. Packets of 1,500 bytes are a piece each.
constexpr int kPipeSize = 256 * 1024;

ssize_t Splice(int from, int to, size_t most) {
  ssize_t moved;
  do {
    moved =
        syscall(SYS_splice, from, nullptr, to, nullptr, most, SPLICE_F_MOVE | SPLICE_F_NONBLOCK);
  } while (moved < 0 && errno == EINTR);
  return moved < 0 ? -errno : moved;
}

}  // namespace

Pipe Pipe::Open() {
  Pipe pipe;
  int ends[2];
  if (pipe2(ends, O_NONBLOCK | O_CLOEXEC) != 0) return pipe;
  pipe.out_.reset(ends[0]);
  pipe.in_.reset(ends[1]);
  fcntl(pipe.in_.get(), F_SETPIPE_SZ, kPipeSize);  // smaller where the user's share is used up
  return pipe;
}

ssize_t Pipe::Fill(int socket, size_t most) {
  ssize_t moved = Splice(socket, in_.get(), most);
  if (moved > 0) held_ += static_cast<size_t>(moved);
  return moved;
}

// Exactly what the pipe holds is asked for: after less, the kernel would wait for more to fill a
// packet.
ssize_t Pipe::Empty(int socket) {
  ssize_t moved = Splice(out_.get(), socket, held_);
  if (moved > 0) held_ -= static_cast<size_t>(moved);
  return moved;
}

ssize_t Pipe::Read(uint8_t* to, size_t size) {
  ssize_t got = read(out_.get(), to, size);
  if (got < 0) return -errno;
  held_ -= static_cast<size_t>(got);
  return got;
}

bool CanJoinSockets() {
  return false;
}
bool JoinSockets(int, int, double) {
  return false;
}
void LeaveSockets(int) {}
double JoinedBytes(int) {
  return 0;
}

}  // namespace rss
