#include "engine/range_sender.h"

#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sys/socket.h>

#include <algorithm>
#include <mutex>

#include "platform/posix/stream.h"

namespace rss {
namespace {

// The most bytes sent per turn, so that a range does not starve other work.
constexpr size_t kMostSent = 2 * 1024 * 1024;

}  // namespace

int RangeToSend::Send() {
  for (size_t budget = kMostSent; header.size() + length > 0;) {
    if (budget == 0) return -EAGAIN;
    ssize_t sent = SendOnce();
    if (sent < 0) return static_cast<int>(sent);
    size_t head = std::min(static_cast<size_t>(sent), header.size());
    size_t body = static_cast<size_t>(sent) - head;
    header.Consume(head);
    offset += body;
    length -= body;
    budget -= std::min(budget, static_cast<size_t>(sent));
  }
  return 0;
}

ssize_t RangeToSend::SendOnce() {
  iovec parts[2] = {{const_cast<uint8_t*>(header.data()), header.size()}, {}};
  int count = header.empty() ? 0 : 1;
  if (length == 0) return SendStream(socket.get(), parts, count);
  bool by_sendfile = false;
  ssize_t sent =
      source.Send(socket.get(), parts, count, offset, length, share, false, &by_sendfile);
  shared = shared || by_sendfile;
  return sent;
}

// Shared by a sender and its helper thread, which a peer may block without limit.
struct RangeSender::Helper {
  std::mutex mutex;
  uv_async_t* async = nullptr;  // null once the sender is closed
  bool running = true;
  int result = 0;
};

struct RangeSender::Job {
  RangeToSend range;
  std::shared_ptr<Helper> helper;
};

Result<bool> RangeSender::Start(int socket) {
  range_.socket.reset(fcntl(socket, F_DUPFD_CLOEXEC, 0));
  if (!range_.socket) return LastError("dup");
  int result = range_.source.how.sync ? StartHelper() : Step();
  if (result != 0 && result != -EAGAIN) return Failure{result, "sendfile", nullptr, {}};
  return result == 0;
}

// Returns 0, -EAGAIN when the poll handle waits for room, or -errno.
int RangeSender::Step() {
  int result = range_.Send();
  return result == -EAGAIN ? WaitForRoom() : result;
}

int RangeSender::WaitForRoom() {
  if (!polling_) {
    int error = uv_poll_init(loop_, poll_.get(), range_.socket.get());
    if (error != 0) return error;
    poll_.set_initialized();
    polling_ = true;
  }
  int error = uv_poll_start(poll_.get(), UV_WRITABLE, [](uv_poll_t* poll, int, int) {
    auto* sender = static_cast<RangeSender*>(poll->data);
    if (sender == nullptr) return;
    int result = sender->Step();
    if (result != -EAGAIN) sender->Finish(result);
  });
  return error == 0 ? -EAGAIN : error;
}

// SF_SYNC sleeps until the peer has read everything, on non-blocking sockets too (FreeBSD 12.1: not
// even a signal ends it).
int RangeSender::StartHelper() {
  int error = uv_async_init(loop_, async_.get(), [](uv_async_t* async) {
    auto* sender = static_cast<RangeSender*>(async->data);
    if (sender != nullptr) sender->Finish(sender->helper_->result);
  });
  if (error != 0) return error;
  async_.set_initialized();
  helper_ = std::make_shared<Helper>();
  helper_->async = async_.get();
  auto job = std::make_unique<Job>(Job{std::move(range_), helper_});
  range_.socket.reset(fcntl(job->range.socket.get(), F_DUPFD_CLOEXEC, 0));
  uv_thread_t thread;
  error = uv_thread_create(&thread, RunHelper, job.get());
  if (error != 0) return error;
  (void)job.release();  // the thread owns it
  pthread_detach(thread);
  return -EAGAIN;
}

void RangeSender::RunHelper(void* argument) {
  std::unique_ptr<Job> job(static_cast<Job*>(argument));
  int result;
  while ((result = job->range.Send()) == -EAGAIN) {
    pollfd room{job->range.socket.get(), POLLOUT, 0};
    poll(&room, 1, -1);
  }
  std::lock_guard<std::mutex> lock(job->helper->mutex);
  job->helper->running = false;
  job->helper->result = result;
  if (job->helper->async != nullptr) uv_async_send(job->helper->async);
}

void RangeSender::Finish(int result) {
  if (polling_) uv_poll_stop(poll_.get());
  sink_->OnSent(result);
}

ssize_t RangeSender::Unacknowledged() {
  static thread_local EmptyProbe empty;
  int fd = range_.socket.get();
  ssize_t rest = fd < 0 ? -1 : empty.Rest(fd);
  // The send buffer of a connection that was reset is empty too.
  return rest >= 0 && IsConnected(fd) ? rest : -1;
}

bool RangeSender::IsReusable() const {
  return !range_.shared || PeerRoute(range_.socket.get()) == Route::kElsewhere;
}

void RangeSender::Close() {
  poll_.Close();
  if (helper_ != nullptr) {
    std::lock_guard<std::mutex> lock(helper_->mutex);
    helper_->async = nullptr;
    // Otherwise the thread's duplicate keeps the connection open until the peer has read it all.
    if (helper_->running && range_.socket) shutdown(range_.socket.get(), SHUT_RDWR);
  }
  async_.Close();
  range_ = RangeToSend();
}

}  // namespace rss
