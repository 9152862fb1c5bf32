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
  // The send that Start() began has ended: with 0, or -errno.
  virtual void OnSent(int result) = 0;
};

// The rest of a send, and its socket.
struct RangeToSend {
  UniqueFd socket;  // a duplicate, because Node polls its own and may close it
  ByteQueue header;
  SendSource source;
  uint64_t offset = 0;
  size_t length = 0;
  bool share = true;    // send a segment by sendfile(2) instead of copying it
  bool shared = false;  // sendfile(2) has sent pages of the source

  // Returns 0 when all has been sent, -EAGAIN when it must be called again, or -errno.
  int Send();

 private:
  ssize_t SendOnce();
};

class RangeSender {
 public:
  RangeSender(uv_loop_t* loop, RangeToSend range, RangeSenderSink* sink)
      : loop_(loop), range_(std::move(range)), sink_(sink), poll_(this), async_(this) {}
  ~RangeSender() { Close(); }

  // Duplicates the socket. True: the kernel has taken everything. False: OnSent() will be called.
  Result<bool> Start(int socket);
  // Bytes that the socket has taken and its peer has not acknowledged; negative once it has no
  // peer.
  ssize_t Unacknowledged();
  // Whether nothing refers to the sent memory once the peer has acknowledged it.
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
