// Finds out what peers have acknowledged, for connections that wait for it. No event reports
// acknowledgements, so a timer looks at their send buffers.
#pragma once

#include <deque>

#include "engine/handle.h"
#include "platform/platform.h"

namespace rss {

// What a connection has sent and its peer has not acknowledged.
struct AckWaits {
  struct Wait {
    uint32_t token;
    double position;  // it ends when this many bytes of `written` are acknowledged
    bool shared;      // pages of a source are among them
  };
  std::deque<Wait> waits;
  double written = 0;  // bytes since the first wait
};

class AckTrackerOwner {
 public:
  virtual ~AckTrackerOwner() = default;
  // Time to look at a connection. Returns whether it still waits.
  virtual bool OnAckCheck(uint32_t connection) = 0;
};

class AckTracker {
 public:
  AckTracker(uv_loop_t* loop, AckTrackerOwner* owner);

  // From now on OnAckCheck() is called for the connection, until it returns false.
  void Watch(uint32_t connection);
  // How many bytes of `written` the peer of a socket has acknowledged. Negative when they do not
  // end the first wait. `orderly`: the end of the peer's stream has just been read, so the peer has
  // not reset the connection.
  double Acknowledged(int fd, const AckWaits& waits, bool orderly);
  void Close() { timer_.Close(); }

 private:
  void Check();

  AckTrackerOwner* owner_;
  Handle<uv_timer_t> timer_;
  std::deque<uint32_t> connections_;
  EmptyProbe empty_;
};

}  // namespace rss
