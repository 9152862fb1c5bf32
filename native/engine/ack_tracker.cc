#include "engine/ack_tracker.h"

#include <algorithm>

#include "platform/posix/stream.h"

namespace rss {
namespace {

constexpr uint64_t kCheckMs = 10;  // peers delay acknowledgements by up to 40 ms
constexpr size_t kMostPerCheck = 256;

}  // namespace

AckTracker::AckTracker(uv_loop_t* loop, AckTrackerOwner* owner) : owner_(owner), timer_(this) {
  uv_timer_init(loop, timer_.get());
  timer_.set_initialized();
}

void AckTracker::Watch(uint32_t connection) {
  connections_.push_back(connection);
  if (uv_is_active(reinterpret_cast<uv_handle_t*>(timer_.get())) != 0) return;
  uv_timer_start(
      timer_.get(),
      [](uv_timer_t* timer) {
        if (timer->data != nullptr) static_cast<AckTracker*>(timer->data)->Check();
      },
      kCheckMs, kCheckMs);
}

void AckTracker::Check() {
  for (size_t left = std::min(connections_.size(), kMostPerCheck); left > 0; --left) {
    uint32_t connection = connections_.front();
    connections_.pop_front();
    if (owner_->OnAckCheck(connection)) connections_.push_back(connection);
  }
  if (connections_.empty()) uv_timer_stop(timer_.get());
}

double AckTracker::Acknowledged(int fd, const AckWaits& waits, bool orderly) {
  ssize_t rest = empty_.Rest(fd);
  double acknowledged = rest < 0 ? -1 : waits.written - static_cast<double>(rest);
  if (waits.waits.front().position > acknowledged) return -1;
  // The send buffer of a connection that was reset is empty too.
  SocketAddress local, peer;
  return orderly || ConnectionAddresses(fd, &local, &peer).ok() ? acknowledged : -1;
}

}  // namespace rss
