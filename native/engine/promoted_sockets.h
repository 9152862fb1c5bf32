// Promoted flows: those that have been forwarded so often that a socket of their own, which the
// owner of their bucket reads, costs less.
//
// The worker that reads such a flow from a bound socket opens the flow's socket, reads what is
// older from the bound one, and passes the socket to the owner through the inbox, behind all that
// it has forwarded. So the order of the flow is kept. This class has the two ends of that: the
// flows that this worker forwards, and the sockets that it reads. DatagramEngine reads, and passes
// sockets.
#pragma once

#include <list>
#include <memory>
#include <unordered_map>
#include <vector>

#include "core/flow_counts.h"
#include "core/passed_sockets.h"
#include "core/promotion_counts.h"
#include "engine/engine_context.h"
#include "engine/polled_socket.h"
#include "platform/platform.h"
#include "platform/posix/datagrams.h"

namespace rss {

class PromotedSocket;

class PromotedReader {
 public:
  virtual ~PromotedReader() = default;
  virtual void OnPromotedReadable(PromotedSocket* socket) = 0;
  // Nothing more comes to the socket: reads what is left.
  virtual void ReadRest(const PromotedSocket& socket) = 0;
};

class PromotedSocket final : public PolledSocket {
 public:
  PromotedSocket(PromotedReader* reader, PassedSocket&& passed, const ReceivedDatagram& flow)
      : PolledSocket(std::move(passed.fd)), flow(flow), reader_(reader), dropped_(passed.dropped) {}

  // Called before each read. From the first one on, the kernel reports new datagrams once.
  void WatchEdges(uv_loop_t* loop) {
    if (!edges_) edges_ = rss::WatchEdges(uv_backend_fd(loop), fd());
  }
  // A read has not emptied the socket: asks for another report.
  void ReportAgain(uv_loop_t* loop) const {
    if (edges_) (void)rss::WatchEdges(uv_backend_fd(loop), fd());
  }

  const ReceivedDatagram flow;  // what its datagrams have in common

 private:
  friend class PromotedSockets;
  void OnReadable() override { reader_->OnPromotedReadable(this); }

  PromotedReader* reader_;
  std::list<std::unique_ptr<PromotedSocket>>::iterator place_;
  uint64_t last_read_ = 0;  // uv_now()
  uint32_t dropped_;        // datagrams, as far as they have been counted
  bool edges_ = false;
};

struct PromotionOptions {
  uint32_t after = 0;  // promotes a flow at so many forwarded datagrams; 0: never
  size_t limit = 0;    // the most sockets of this worker
  uint64_t idle_ms = 0;
  PromotionCounts* counts = nullptr;  // this worker's
};

class PromotedSockets {
 public:
  PromotedSockets(const EngineContext& context, const PromotionOptions& options,
                  PromotedReader* reader);

  // --- Flows that this worker forwards ---

  // A datagram of this worker's bound sockets has been forwarded.
  void CountForwarded(const ReceivedDatagram& row);
  // The flows to promote, from the last of CountForwarded() on.
  bool has_due() const { return !due_.empty(); }
  std::vector<ReceivedDatagram> TakeDue();
  // The flow has a socket, or cannot have one. It is counted from 0 again.
  void Forget(const ReceivedDatagram& flow);
  PromotionCounts& counts() { return *options_.counts; }

  // --- Sockets that this worker reads ---

  // Closes the socket that was read least recently if there is no room for one more. Null when the
  // socket cannot be watched, and is closed, or after Stop(), and is left to the caller.
  PromotedSocket* Add(PassedSocket* passed, const ReceivedDatagram& flow);
  // The socket is about to be read.
  void Touch(PromotedSocket* socket);
  PassedSocket Release(PromotedSocket* socket);
  // Reads what is left in the socket, and closes it.
  void Close(PromotedSocket* socket);
  // The socket that was read least recently; null: there is none.
  PromotedSocket* oldest() const { return sockets_.empty() ? nullptr : sockets_.front().get(); }
  // Idle sockets stay open from now on, and none is added.
  void Stop() { timer_.Close(); }

 private:
  struct Hash {
    size_t operator()(const FlowKey& key) const { return static_cast<size_t>(key.Hash(0)); }
  };

  std::unique_ptr<PromotedSocket> Extract(PromotedSocket* socket);
  void Leave(std::unique_ptr<PromotedSocket> socket);
  void CountDropped(PromotedSocket* socket);
  void StartTimer();
  void OnTimer();
  bool stopped() { return timer_.get() == nullptr; }

  const EngineContext& context_;
  PromotionOptions options_;
  PromotedReader* reader_;
  FlowCounts forwarded_;
  std::vector<ReceivedDatagram> due_;
  std::list<std::unique_ptr<PromotedSocket>> sockets_;  // read least recently first
  std::unordered_map<FlowKey, PromotedSocket*, Hash> by_flow_;
  uint64_t last_timer_ = 0;   // uv_now()
  Handle<uv_timer_t> timer_;  // active while there are sockets
};

}  // namespace rss
