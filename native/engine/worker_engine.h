// Everything native of one worker: it accepts connections, serves datagrams, and takes what other
// workers have received for its buckets. Lives in the worker's thread, on its libuv loop.
#pragma once

#include <vector>

#include "engine/acceptor.h"
#include "engine/datagram_engine.h"
#include "engine/inbox.h"
#include "engine/misdirection_log.h"
#include "engine/node_sockets.h"
#include "engine/pending_connections.h"

namespace rss {

// Implemented by the bindings.
class WorkerSink : public AcceptSink, public ConnectionSink, public DatagramSink {};

struct WorkerOptions {
  AcceptorOptions accept;
  DatagramOptions datagrams;
  bool count_misdirected = true;
  // Serves the connections; outlives the engine. Null: JavaScript makes sockets of Node of them.
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
  // Accepts what is queued, if `queued`, then closes the listeners. UDP and the inbox go on.
  void StopAccepting(bool queued);
  bool Drain() { return inbox_.Drain(); }
  // Closes everything; connections that JavaScript has not taken go back to the inbox. Idempotent.
  void Close();

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
  ConnectionReceiver* receiver_;
  Acceptor acceptor_;
  DatagramEngine datagrams_;
  bool closed_ = false;
};

}  // namespace rss
