// StreamEngine: tells how far output has come, of whom that is asked.
#include <errno.h>

#include <algorithm>

#include "engine/stream_engine.h"

namespace rss {
namespace {

constexpr uint64_t kConfirmMs = 10;  // an acknowledgement may be delayed by four times as long
constexpr size_t kConfirmAtOnce = 256;

}  // namespace

void StreamEngine::MarkOutput(StreamConnection* c, uint32_t id, OutputQueue::Mark mark) {
  if (c == nullptr || c->finishing)
    Complete(mark.token, c == nullptr && id == lost_.connection ? lost_.flags : 0);
  else if (c->output.empty() && !c->connecting)
    Reached(c, mark);
  else
    c->output.Append(mark);
}

// Everything before the mark has been taken by the kernel.
void StreamEngine::Reached(StreamConnection* c, OutputQueue::Mark mark) {
  bool shared = c->shared;
  c->shared = false;
  if (!mark.acknowledged)
    return Complete(mark.token, CompletedRow::kDone | (shared ? 0 : CompletedRow::kReusable));
  if (c->unconfirmed == nullptr) {
    c->unconfirmed = std::make_unique<Unconfirmed>();
    unconfirmed_.push_back(c->id);
  }
  Unconfirmed& u = *c->unconfirmed;
  u.waits.push_back({mark.token, u.written, shared});
  if (uv_is_active(reinterpret_cast<uv_handle_t*>(confirm_timer_.get())) != 0) return;
  uv_timer_start(
      confirm_timer_.get(),
      [](uv_timer_t* h) {
        if (h->data != nullptr) static_cast<StreamEngine*>(h->data)->CheckUnconfirmed();
      },
      kConfirmMs, kConfirmMs);
}

void StreamEngine::CheckUnconfirmed() {
  for (size_t looks = std::min(unconfirmed_.size(), kConfirmAtOnce); looks > 0; --looks) {
    uint32_t id = unconfirmed_.front();
    unconfirmed_.pop_front();
    StreamConnection* c = Find(id);
    if (c == nullptr || c->unconfirmed == nullptr) continue;
    Confirm(c, false);
    if (c->unconfirmed != nullptr)
      unconfirmed_.push_back(id);
    else if (c->lingering && c->ended)
      Remove(c, 0);
  }
  if (unconfirmed_.empty()) uv_timer_stop(confirm_timer_.get());
}

// Completes what the peer has acknowledged. `orderly`: its end has just been read, so it has not
// reset the connection.
void StreamEngine::Confirm(StreamConnection* c, bool orderly) {
  int fd = c->fd.get();
  Unconfirmed& u = *c->unconfirmed;
  SocketAddress local, peer;
  ssize_t rest = empty_.Rest(fd);
  double acknowledged = rest < 0 ? -1 : u.written - static_cast<double>(rest);
  // The buffer of a connection that was reset is empty too.
  if (u.waits.front().position > acknowledged) return;
  if (!orderly && !Endpoints(fd, &local, &peer).ok()) return;
  while (!u.waits.empty() && u.waits.front().position <= acknowledged) {
    const Unconfirmed::Wait& wait = u.waits.front();
    bool reusable = !wait.shared || PeerOf(c) == StreamConnection::Peer::kElsewhere;
    Complete(wait.token, CompletedRow::kDone | (reusable ? CompletedRow::kReusable : 0));
    u.waits.pop_front();
  }
  if (u.waits.empty()) c->unconfirmed.reset();
}

void StreamEngine::Complete(uint32_t token, uint32_t flags) {
  completed_.push_back({token, flags});
  Schedule();
}

// The connection goes: nothing more will be known of its output. What another machine has reset is
// sent no more; otherwise the kernel goes on sending after the end.
void StreamEngine::LoseMarks(StreamConnection* c, int error) {
  if (c->unconfirmed != nullptr) Confirm(c, false);
  bool reset = error == -ECONNRESET || error == -EPIPE;
  uint32_t flags =
      reset && c->peer == StreamConnection::Peer::kElsewhere ? CompletedRow::kReusable : 0;
  if (c->unconfirmed != nullptr)
    for (const Unconfirmed::Wait& wait : c->unconfirmed->waits) Complete(wait.token, flags);
  c->unconfirmed.reset();
  c->output.ForEachMark([&](const OutputQueue::Mark& mark) { Complete(mark.token, flags); });
  lost_ = {c->id, flags};  // of marks that follow in the rows
}

}  // namespace rss
