// The native side of a worker, on the libuv loop of its thread. Accepts connections, serves
// datagrams, and delivers what other workers have received for its buckets.
#pragma once

#include <vector>

#include "engine/acceptor.h"
#include "engine/datagram_engine.h"
#include "engine/inbox.h"
#include "engine/misdirection_log.h"
#include "engine/node_sockets.h"
#include "engine/pending_connections.h"
#include "engine/placement_sampler.h"

namespace rss {

// Implemented by the bindings.
class WorkerSink : public AcceptSink, public ConnectionSink, public DatagramSink {};

struct WorkerOptions {
  AcceptorOptions accept;
  DatagramOptions datagrams;
  bool count_misdirected = true;
  // Serves the connections; outlives this engine. Null: they become Node sockets.
  ConnectionReceiver* streams = nullptr;
};

class WorkerEngine {
 public:
  WorkerEngine(const EngineContext& context, const WorkerOptions& options, WorkerSink* sink);
  ~WorkerEngine() { Close(); }

  Status AddListener(int fd);
  Status AddDatagramSocket(int fd, int endpoint, bool receive);
  Result<uint32_t> ConnectDatagrams(const Connecting& how);
  Status Start();
  // Which connections and datagrams go to the owners of their buckets, as in the options.
  void SetHandOff(bool connections, bool unhashed, bool datagrams);
  // Closes the listeners. With `queued`, first accepts what is queued, and bound UDP sockets are
  // read on; otherwise another process reads them. The inbox goes on.
  void StopAccepting(bool queued);
  bool Drain() { return inbox_.Drain(); }
  // Connections that JavaScript has not taken go back to their buckets' inboxes. Idempotent.
  void Close();

  const FlowClassifier& classifier() const { return context_.table->classifier(); }
  PendingConnections& pending() { return pending_; }
  NodeSockets& sockets() { return sockets_; }
  DatagramEngine& datagrams() { return datagrams_; }
  MisdirectionLog& misdirections() { return misdirections_; }

 private:
  Status CheckOpen(const char* call) const;

  EngineContext context_;
  MisdirectionLog misdirections_;
  Inbox inbox_;
  NodeSockets sockets_;
  PendingConnections pending_;
  PlacementSampler sampler_;
  Acceptor acceptor_;
  DatagramEngine datagrams_;
  bool stopping_ = false;
  bool closed_ = false;
};

}  // namespace rss
