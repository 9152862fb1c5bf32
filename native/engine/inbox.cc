#include "engine/inbox.h"

namespace rss {

Inbox::Inbox(const EngineContext& context) : context_(context), wake_(this) {
  uv_async_init(context_.loop, wake_.get(), [](uv_async_t* h) {
    if (h->data != nullptr) static_cast<Inbox*>(h->data)->OnWake();
  });
  wake_.set_initialized();
}

void Inbox::Start(ConnectionReceiver* receiver, DatagramEngine* datagrams) {
  receiver_ = receiver;
  datagrams_ = datagrams;
  context_.table->Attach(context_.worker, this);
}

void Inbox::OnWake() {
  if (!Drain() && !closed_) Wake();
}

bool Inbox::Drain() {
  if (closed_ || receiver_ == nullptr) return true;
  if (draining_) return false;  // called again by JavaScript within this function
  draining_ = true;
  bool more = DrainConnections();
  if (!closed_) more = datagrams_->DeliverForwarded() || more;
  draining_ = false;
  return !more && !receiver_->has_waiting();
}

// True when more are waiting.
bool Inbox::DrainConnections() {
  bool more = context_.table->DrainConnections(context_.worker, kConnectionsPerTurn, &connections_);
  for (Connection& connection : connections_) receiver_->Receive(std::move(connection));
  connections_.clear();
  receiver_->EndPass();
  return more;
}

void Inbox::Close() {
  if (closed_) return;
  closed_ = true;
  if (receiver_ != nullptr) context_.table->Detach(context_.worker);
  wake_.Close();
}

}  // namespace rss
