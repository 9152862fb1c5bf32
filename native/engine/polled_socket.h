// A socket whose input is reported by a libuv loop.
#pragma once

#include "core/unique_fd.h"
#include "engine/handle.h"
#include "platform/posix/inspect.h"

namespace rss {

class PolledSocket {
 public:
  explicit PolledSocket(UniqueFd fd) : fd_(std::move(fd)), poll_(this) {}
  virtual ~PolledSocket() = default;

  int fd() const { return fd_.get(); }

  // Must be called once, before Watch() and Pause().
  Status Register(uv_loop_t* loop);
  Status Watch();
  void Pause() { uv_poll_stop(poll_.get()); }
  // Gives up the descriptor. No other call may follow.
  UniqueFd Release() {
    poll_.Close();
    return std::move(fd_);
  }

 private:
  // May destroy this object.
  virtual void OnReadable() = 0;
  static void OnPoll(uv_poll_t* poll, int status, int events);

  UniqueFd fd_;
  Handle<uv_poll_t> poll_;  // closed before fd_: members are destroyed in reverse order
};

struct DuplicatedSocket {
  UniqueFd fd;
  SocketKind kind;
};

// Duplicates the descriptor of a socket. EPROTOTYPE when the transport differs, EINVAL for a TCP
// socket that does not listen.
Result<DuplicatedSocket> DuplicateSocket(int fd, Transport transport);

}  // namespace rss
