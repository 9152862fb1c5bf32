// A worker's port to the network: its listeners, its UDP sockets, and the inbox of its buckets.
//
// Lives in the worker's thread, on its libuv loop. What it accepts it classifies; a flow of another
// worker's bucket goes to that worker's inbox, everything else to the stream engine or, for
// JavaScript to make sockets of, to the sink. Connections that the sink has not taken when the
// worker dies go back to their bucket's inbox.
#pragma once

#include <memory>
#include <vector>

#include "core/bucket_table.h"
#include "core/connection_ids.h"
#include "core/counters.h"
#include "engine/handle.h"
#include "engine/stream_engine.h"
#include "platform/posix/connect.h"
#include "platform/posix/datagrams.h"

namespace rss {

struct DatagramReply {
  uint32_t row = 0;        // the datagram that is answered, or
  uint32_t connected = 0;  // the socket that this one is to leave by
  const uint8_t* data = nullptr;
  size_t length = 0;
};

// A flow that another worker than its bucket's owner has received.
struct Misdirection {
  Transport transport = Transport::kTcp;
  Flow flow;
  SocketAddress peer, local;
};

// The receiving side, implemented by the bindings.
class PortSink {
 public:
  virtual ~PortSink() = default;
  // Connections wait in the port; Take() them. False when JavaScript cannot run any more.
  virtual bool OnConnections(size_t count) = 0;
  // `count` rows wait in the port, their payloads in the slab; Reply() to them before returning.
  virtual void OnDatagrams(size_t count) = 0;
  // Accepting pauses for kAcceptPauseMs: descriptors or memory are exhausted.
  virtual void OnAcceptError(int error) = 0;
};

struct PortOptions {
  int worker = 0;
  int home_bucket = 0;            // one of its own: where connections without a flow are counted
  bool handoff = false;           // give connections to their bucket's owner
  bool forward = false;           // give datagrams to their bucket's owner
  bool count_misdirected = true;  // false where the bucket does not choose the worker (bpf-cpu)
  uint8_t* slab = nullptr;        // kDatagramBatch slots of `stride` bytes
  size_t stride = 0;
  size_t slot_size = 0;
  BucketCounters* counters = nullptr;  // one per bucket, this worker's own
  StreamEngine* streams = nullptr;  // takes the connections in the sink's place; outlives the port
};

class WorkerPort final : public Waker {
 public:
  // Bounds of one turn of the loop, so that no socket starves another.
  static constexpr size_t kAcceptsPerTurn = 64;
  static constexpr int kBatchesPerTurn = 8;
  static constexpr int kAcceptPauseMs = 100;  // without descriptors or memory
  static constexpr int kLimitPauseMs = 10;    // with as many connections as may be

  WorkerPort(uv_loop_t* loop, std::shared_ptr<BucketTable> table, const PortOptions& options,
             PortSink* sink);
  ~WorkerPort() override { Close(); }

  // Both duplicate the descriptor: the caller's stays the caller's.
  Status AddListener(int fd);
  // `receive` false: a socket to answer forwarded datagrams from, which others read.
  Status AddDatagramSocket(int fd, int endpoint, bool receive);

  // A UDP socket of its own to a peer, whose answers come as rows: its id. Everything of it counts
  // for the bucket that the answers hash into.
  Result<uint32_t> ConnectDatagrams(const Connecting& how);
  void CloseDatagrams(uint32_t id);
  // Null when there is none of the id (any more).
  const SocketAddress* LocalOf(uint32_t id) const;

  Status Start();
  // Accepts what is queued, unless another process does, then closes the listeners. UDP and the
  // inbox go on.
  void StopAccepting(bool queued);
  // Delivers what waits in the inbox. True when nothing waits any more.
  bool Drain();
  // Closes everything; connections not taken go back to the inbox. Idempotent.
  void Close();

  // The i-th waiting connection's flow and descriptor. The descriptor is the caller's from then on;
  // until Arrived() the port remembers it, in case the thread is terminated before it is wrapped.
  const Flow& flow(size_t i) const { return ready_[i].flow; }
  int Take(size_t i);
  void Arrived() { in_transit_ = Transit(); }
  // A connection that JavaScript has for a socket, other than by Take(); and the end of either.
  void Hold(int bucket);
  void Ended(int bucket);

  const ReceivedDatagram& row(size_t i) const { return rows_[i]; }
  SocketAddress destination(size_t i) const;
  void Reply(const DatagramReply* replies, size_t count);

  // One of each bucket that has had any since this was called last.
  std::vector<Misdirection> TakeMisdirections();

  BucketCounters& counters(int bucket) { return options_.counters[bucket]; }
  void Wake() override;

 private:
  struct Socket {
    Socket(WorkerPort* p, UniqueFd f) : port(p), fd(std::move(f)), poll(this) {}
    WorkerPort* port;
    UniqueFd fd;
    SocketAddress address;
    int endpoint = 0;
    uint32_t connected = 0;  // its id, if it is
    SocketAddress peer;      // and whose, and of which flow all its datagrams are
    Flow flow;
    bool receive = true;
    bool local = false;      // a Unix socket: its connections have no flow
    Handle<uv_poll_t> poll;  // closed before fd: members are destroyed in reverse order
  };
  struct Transit {
    int fd = -1;
    SocketAddress peer, local;
  };
  using Sockets = std::vector<std::unique_ptr<Socket>>;

  Result<std::unique_ptr<Socket>> Adopt(int fd, Transport transport);
  Result<std::unique_ptr<Socket>> Own(UniqueFd fd);
  static void OnListenerReadable(uv_poll_t* poll, int status, int events);
  static void OnSocketReadable(uv_poll_t* poll, int status, int events);
  size_t Accept(Socket* listener, size_t limit);
  bool HandOver(Connection* connection);
  void CountMisdirected(Transport transport, const Flow& flow, const SocketAddress& peer,
                        const SocketAddress& local);
  void PauseAccepting(int milliseconds);
  void AtLimit();
  void CountPause();
  void ResumeAccepting();
  void DeliverConnections();
  void ReceiveDatagrams(Socket* socket);
  void ReceiveConnected(Socket* socket);
  static void OnTurn(uv_check_t* check);
  void DeliverConnected();
  void CountReceived(const ReceivedDatagram& row);
  bool Describe(ReceivedDatagram* row, const Socket& socket);
  bool Forward(const ReceivedDatagram& row, const Socket& socket);
  void DrainInbox();
  void DeliverForwarded();
  Socket* SocketOf(int endpoint) const;
  Socket* ConnectedOf(uint32_t id) const;
  Socket* SocketFor(const DatagramReply& reply) const;

  uv_loop_t* loop_;
  std::shared_ptr<BucketTable> table_;
  PortOptions options_;
  PortSink* sink_;
  Handle<uv_async_t> wake_;
  Handle<uv_timer_t> pause_;
  Handle<uv_check_t> turn_;  // active while rows wait
  Sockets listeners_;
  Sockets sockets_;
  Sockets connected_;  // by the slot of its id
  ConnectionIds ids_;
  std::vector<Connection> ready_;
  std::vector<ForwardedDatagram> forwarded_;
  Transit in_transit_;
  std::vector<std::vector<Place>> held_;  // by bucket, of the sockets that JavaScript has
  std::vector<Misdirection> misdirections_;
  std::vector<bool> misdirected_;  // by bucket: has one of these
  bool limited_ = false;           // nothing accepted since the limit was met
  uint64_t paused_since_ = 0;      // ns, while the listeners are not watched for it
  bool stopping_ = false;
  DatagramBatcher batcher_;
  std::vector<ReceivedDatagram> rows_;
  size_t waiting_ = 0;  // of these, of connected sockets, not delivered yet
  bool started_ = false;
  bool closed_ = false;
};

}  // namespace rss
