// Tracks what peers have acknowledged. No event reports acknowledgements, so a timer polls the send
// buffers of the connections that wait for one.
#pragma once

#include <deque>

#include "engine/handle.h"
#include "platform/platform.h"

namespace rss {

// The acknowledgements that a connection waits for.
struct AckWaits {
  struct Wait {
    uint32_t token;
    double position;  // the wait ends when this many bytes of `written` are acknowledged
    bool shared;      // sendfile(2) has sent pages of a source
  };
  std::deque<Wait> waits;
  double written = 0;  // bytes since the first wait
};

class AckTrackerOwner {
 public:
  virtual ~AckTrackerOwner() = default;
  // Checks a connection. Returns whether it still waits.
  virtual bool OnAckCheck(uint32_t connection) = 0;
};

class AckTracker {
 public:
  AckTracker(uv_loop_t* loop, AckTrackerOwner* owner);

  // Calls OnAckCheck() for the connection regularly, until that returns false.
  void Watch(uint32_t connection);
  // Returns how many bytes of `written` the peer has acknowledged, or a negative number when they
  // do not end the first wait. `orderly`: the end of the peer's stream has just been read, so the
  // peer has not reset the connection.
  double Acknowledged(int fd, const AckWaits& waits, bool orderly);
  // Whether the peer has acknowledged all that the socket has taken.
  bool HasAll(int fd) { return empty_.Rest(fd) == 0; }
  void Close() { timer_.Close(); }

 private:
  void Check();

  AckTrackerOwner* owner_;
  Handle<uv_timer_t> timer_;
  std::deque<uint32_t> connections_;
  EmptyProbe empty_;
};

}  // namespace rss
