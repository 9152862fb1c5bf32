#include "engine/ack_tracker.h"

#include <algorithm>

#include "platform/posix/stream.h"

namespace rss {
namespace {

constexpr uint64_t kPollMs = 10;
constexpr size_t kMostPerPoll = 256;
constexpr size_t kMostReports = 64;  // at once

}  // namespace

AckTracker::AckTracker(uv_loop_t* loop, AckTrackerOwner* owner)
    : loop_(loop), owner_(owner), poll_(this), timer_(this) {
  uv_timer_init(loop, timer_.get());
  timer_.set_initialized();
}

bool AckTracker::IsOpen() {
  if (tried_) return open_;
  tried_ = true;
  if (!queue_.Open() || uv_poll_init(loop_, poll_.get(), queue_.fd()) != 0) return false;
  poll_.set_initialized();
  uv_unref(reinterpret_cast<uv_handle_t*>(poll_.get()));
  open_ = uv_poll_start(poll_.get(), UV_READABLE, [](uv_poll_t* poll, int, int) {
            if (poll->data != nullptr) static_cast<AckTracker*>(poll->data)->TakeReports();
          }) == 0;
  return open_;
}

void AckTracker::TakeReports() {
  uint32_t connections[kMostReports];
  size_t count = queue_.Take(connections, kMostReports);
  for (size_t i = 0; i < count; ++i) owner_->OnAckCheck(connections[i]);
}

void AckTracker::Watch(int fd, uint32_t connection, bool reported, AckWaits* waits) {
  if (!IsOpen() || !queue_.Await(fd, connection, reported)) Poll(connection, waits);
}

void AckTracker::Written(uint32_t connection, size_t bytes, AckWaits* waits) {
  waits->written += static_cast<double>(bytes);
  if (AckQueue::NeedsEmpty()) Poll(connection, waits);
}

void AckTracker::Poll(uint32_t connection, AckWaits* waits) {
  if (waits->polled) return;
  waits->polled = true;
  polled_.push_back(connection);
  if (uv_is_active(reinterpret_cast<uv_handle_t*>(timer_.get())) != 0) return;
  uv_timer_start(
      timer_.get(),
      [](uv_timer_t* timer) {
        if (timer->data != nullptr) static_cast<AckTracker*>(timer->data)->Check();
      },
      kPollMs, kPollMs);
}

void AckTracker::Check() {
  for (size_t left = std::min(polled_.size(), kMostPerPoll); left > 0; --left) {
    uint32_t connection = polled_.front();
    polled_.pop_front();
    if (owner_->OnAckCheck(connection)) polled_.push_back(connection);
  }
  if (polled_.empty()) uv_timer_stop(timer_.get());
}

double AckTracker::Acknowledged(int fd, const AckWaits& waits, bool orderly) {
  ssize_t rest = empty_.Rest(fd);
  double acknowledged = rest < 0 ? -1 : waits.written - static_cast<double>(rest);
  if (waits.waits.front().position > acknowledged) return -1;
  // The send buffer of a connection that was reset is empty too.
  return orderly || IsConnected(fd) ? acknowledged : -1;
}

}  // namespace rss
