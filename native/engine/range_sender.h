// Sends one range of a segment or a file on a socket that Node owns.
#pragma once

#include <memory>

#include "core/byte_queue.h"
#include "engine/handle.h"
#include "engine/send_source.h"

namespace rss {

class RangeSenderSink {
 public:
  virtual ~RangeSenderSink() = default;
  // The end of what Start() began: 0, or -errno.
  virtual void OnSent(int result) = 0;
};

// What is left to send, and where to.
struct RangeToSend {
  UniqueFd socket;  // a duplicate: Node may close its own, and has it in the event queue
  ByteQueue header;
  SendSource source;
  uint64_t offset = 0;
  size_t length = 0;
  bool share = true;    // a segment by sendfile(2), rather than copied
  bool shared = false;  // pages of the source have been sent

  // 0 when all has been sent, -EAGAIN when the socket takes no more just now, or -errno.
  int Send();

 private:
  ssize_t SendOnce();
};

class RangeSender {
 public:
  RangeSender(uv_loop_t* loop, RangeToSend range, RangeSenderSink* sink)
      : loop_(loop), range_(std::move(range)), sink_(sink), poll_(this), async_(this) {}
  ~RangeSender() { Close(); }

  // Duplicates the socket. True when everything has been taken; false: OnSent() will be called.
  Result<bool> Start(int socket);
  // Bytes that the socket has taken and its peer has not acknowledged; negative once it has no
  // peer.
  ssize_t Unacknowledged();
  // Whether nothing refers any longer to what was sent, once it is acknowledged.
  bool IsReusable() const;
  // Idempotent. OnSent() is not called any more.
  void Close();

 private:
  struct Helper;
  struct Job;

  int Step();
  int WaitForRoom();
  int StartHelper();
  static void RunHelper(void* job);
  void Finish(int result);

  uv_loop_t* loop_;
  RangeToSend range_;
  RangeSenderSink* sink_;
  Handle<uv_poll_t> poll_;
  bool polling_ = false;
  Handle<uv_async_t> async_;
  std::shared_ptr<Helper> helper_;
};

}  // namespace rss
