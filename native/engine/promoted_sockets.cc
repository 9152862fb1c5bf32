#include "engine/promoted_sockets.h"

#include <algorithm>
#include <utility>

namespace rss {
namespace {

constexpr uint64_t kTimerMs = 1000;
// The most flows promoted at once: more follow with their next datagram.
constexpr size_t kMostDue = 16;

FlowKey KeyOf(const ReceivedDatagram& flow) {
  return FlowKey(flow.peer, flow.info.destination, flow.endpoint);
}

}  // namespace

PromotedSockets::PromotedSockets(const EngineContext& context, const PromotionOptions& options,
                                 PromotedReader* reader)
    : context_(context), options_(options), reader_(reader), forwarded_(uv_hrtime()), timer_(this) {
  uv_timer_init(context_.loop, timer_.get());
  timer_.set_initialized();
  uv_unref(reinterpret_cast<uv_handle_t*>(timer_.get()));
}

// --- Flows that this worker forwards -------------------------------------------------------------

void PromotedSockets::CountForwarded(const ReceivedDatagram& row) {
  FlowKey key = KeyOf(row);
  if (forwarded_.Add(key) < options_.after || due_.size() == kMostDue) return;
  auto same = [&](const ReceivedDatagram& due) { return KeyOf(due) == key; };
  if (std::none_of(due_.begin(), due_.end(), same)) due_.push_back(row);
}

std::vector<ReceivedDatagram> PromotedSockets::TakeDue() {
  return std::exchange(due_, {});
}

void PromotedSockets::Forget(const ReceivedDatagram& flow) {
  FlowKey key = KeyOf(flow);
  forwarded_.Forget(key);
  due_.erase(std::remove_if(due_.begin(), due_.end(),
                            [&](const ReceivedDatagram& due) { return KeyOf(due) == key; }),
             due_.end());
}

// --- Sockets that this worker reads --------------------------------------------------------------

PromotedSocket* PromotedSockets::Add(PassedSocket* passed, const ReceivedDatagram& flow) {
  // During an upgrade both processes may promote a flow. What the older socket has comes first.
  auto same = by_flow_.find(KeyOf(flow));
  if (same != by_flow_.end()) {
    Close(same->second);
  } else if (sockets_.size() >= options_.limit) {
    options_.counts->evicted += 1;
    Close(oldest());
  }
  if (stopped()) return nullptr;  // by JavaScript, while the rest was served
  auto socket = std::make_unique<PromotedSocket>(reader_, std::move(*passed), flow);
  Status status = socket->Register(context_.loop);
  if (status.ok()) status = socket->Watch();
  if (!status.ok()) {
    Leave(std::move(socket));
    return nullptr;
  }
  PromotedSocket* added = socket.get();
  added->last_read_ = uv_now(context_.loop);
  by_flow_[KeyOf(flow)] = added;
  added->place_ = sockets_.insert(sockets_.end(), std::move(socket));
  options_.counts->now += 1;
  if (sockets_.size() == 1) StartTimer();
  return added;
}

void PromotedSockets::Touch(PromotedSocket* socket) {
  socket->last_read_ = uv_now(context_.loop);
  sockets_.splice(sockets_.end(), sockets_, socket->place_);
}

std::unique_ptr<PromotedSocket> PromotedSockets::Extract(PromotedSocket* socket) {
  std::unique_ptr<PromotedSocket> owned = std::move(*socket->place_);
  sockets_.erase(socket->place_);
  by_flow_.erase(KeyOf(socket->flow));
  options_.counts->now -= 1;
  return owned;
}

PassedSocket PromotedSockets::Release(PromotedSocket* socket) {
  std::unique_ptr<PromotedSocket> owned = Extract(socket);
  CountDropped(owned.get());
  return {owned->PolledSocket::Release(), owned->dropped_};
}

void PromotedSockets::Close(PromotedSocket* socket) {
  Leave(Extract(socket));
}

// The bound sockets get the flow first, so that nothing is lost between the last read and close(2).
void PromotedSockets::Leave(std::unique_ptr<PromotedSocket> socket) {
  LeaveFlow(socket->fd());
  CountDropped(socket.get());
  reader_->ReadRest(*socket);
}

void PromotedSockets::CountDropped(PromotedSocket* socket) {
  auto dropped = DroppedBySocket(socket->fd());
  if (!dropped.ok()) return;
  const uint32_t lost = *dropped - socket->dropped_;  // modulo 2^32
  context_.counter(socket->flow.flow.bucket).promoted_drops += lost;
  socket->dropped_ = *dropped;
}

void PromotedSockets::StartTimer() {
  last_timer_ = uv_now(context_.loop);
  uv_timer_start(
      timer_.get(),
      [](uv_timer_t* timer) {
        if (timer->data != nullptr) static_cast<PromotedSockets*>(timer->data)->OnTimer();
      },
      std::min(options_.idle_ms, kTimerMs), 0);
}

// Closes the sockets that are idle, and counts what those that have been read lately have dropped.
void PromotedSockets::OnTimer() {
  uint64_t now = uv_now(context_.loop);
  while (!stopped() && !sockets_.empty() && now - oldest()->last_read_ >= options_.idle_ms) {
    options_.counts->idle += 1;
    Close(oldest());
  }
  for (auto it = sockets_.rbegin(); it != sockets_.rend(); ++it) {
    if ((*it)->last_read_ < last_timer_) break;
    CountDropped(it->get());
  }
  if (!stopped() && !sockets_.empty()) StartTimer();
}

}  // namespace rss
