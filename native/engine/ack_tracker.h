// Tracks what peers have acknowledged. The kernel reports it where it can; a timer polls the send
// buffers of the other connections that wait.
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
  bool polled = false;
};

class AckTrackerOwner {
 public:
  virtual ~AckTrackerOwner() = default;
  // Checks a connection. Returns whether it has to be polled.
  virtual bool OnAckCheck(uint32_t connection) = 0;
};

class AckTracker {
 public:
  AckTracker(uv_loop_t* loop, AckTrackerOwner* owner);

  // Must be called once for a connection, before it sends with `report_ack`. False: it cannot.
  bool Prepare(int fd, uint32_t connection) { return IsOpen() && queue_.Prepare(fd, connection); }
  // Calls OnAckCheck() once the peer has acknowledged what has been sent. `reported`: the last of
  // it was sent with `report_ack`.
  void Watch(int fd, uint32_t connection, bool reported, AckWaits* waits);
  // Calls OnAckCheck() from time to time, as the kernel reports nothing.
  void Poll(uint32_t connection, AckWaits* waits);
  // The connection has sent more, after it began to wait.
  void Written(uint32_t connection, size_t bytes, AckWaits* waits);
  // Returns how many bytes of `written` the peer has acknowledged, or a negative number when they
  // do not end the first wait. `orderly`: the end of the peer's stream has just been read, so the
  // peer has not reset the connection.
  double Acknowledged(int fd, const AckWaits& waits, bool orderly);
  // Whether the peer has acknowledged all that the socket has taken.
  bool HasAll(int fd) { return empty_.Rest(fd) == 0; }
  // Whether the event loop sees a report as an error of its socket, too.
  bool RaisesErrors() const { return open_ && AckQueue::RaisesErrors(); }
  void Close() {
    poll_.Close();
    timer_.Close();
  }

 private:
  bool IsOpen();
  void TakeReports();
  void Check();

  uv_loop_t* loop_;
  AckTrackerOwner* owner_;
  AckQueue queue_;  // opened when it is first needed
  bool tried_ = false;
  bool open_ = false;
  Handle<uv_poll_t> poll_;  // closed before queue_: members are destroyed in reverse order
  Handle<uv_timer_t> timer_;
  std::deque<uint32_t> polled_;
  EmptyProbe empty_;
};

}  // namespace rss
