// A worker's UDP sockets: the server's, which are bound, and those that the worker has connected.
//
// Datagrams are read in batches. A bound socket's batch is delivered at once. Connected sockets
// receive few datagrams each, so theirs are delivered together at the end of the turn. So are those
// of promoted flows, which for JavaScript come by a bound socket.
#pragma once

#include <memory>
#include <vector>

#include "core/connection_ids.h"
#include "engine/engine_context.h"
#include "engine/handle.h"
#include "engine/misdirection_log.h"
#include "engine/placement_sampler.h"
#include "engine/polled_socket.h"
#include "engine/promoted_sockets.h"
#include "platform/posix/connect.h"
#include "platform/posix/datagrams.h"

namespace rss {

// Where a datagram goes that answers none.
struct DatagramTarget {
  int endpoint = 0;  // of the bound socket that sends it
  SocketAddress peer;
  bool has_source = false;
  SocketAddress source;  // without a port
  KernelFlow flow;       // type 0: Resolve() computes it
  // Set by Resolve().
  int bucket = 0;
};

struct DatagramReply {
  uint32_t row = 0;        // the datagram to answer, unless one of the next two is set
  uint32_t connected = 0;  // id of the connected socket to send through; 0: none
  const DatagramTarget* target = nullptr;
  const uint8_t* data = nullptr;
  size_t length = 0;
};

class DatagramSink {
 public:
  virtual ~DatagramSink() = default;
  // The first `count` rows are valid, and Send() may answer them, until this returns. Their
  // payloads lie in the slab. False when the thread is being terminated, and nothing has seen them.
  virtual bool OnDatagrams(size_t count) = 0;
  // The kernel has reported an error for a connected socket, -errno, which stays open: an ICMP
  // message has arrived.
  virtual void OnDatagramError(uint32_t connected, int error) = 0;
};

struct DatagramOptions {
  bool forward = false;     // forward datagrams to their bucket's owner
  bool flows = true;        // ask the kernel for the flow of each datagram
  int default_bucket = 0;   // counts what is sent by no known flow
  uint8_t* slab = nullptr;  // kDatagramBatch cells, `stride` bytes apart
  size_t stride = 0;
  size_t cell_size = 0;
  PromotionOptions promotion;  // only with `forward`
};

class DatagramEngine final : private DatagramReceiver, private PromotedReader {
 public:
  // The most batches read per event, so that no socket starves another.
  static constexpr int kBatchesPerTurn = 8;
  // The most sockets that CountDrops() asks.
  static constexpr size_t kAskedForDrops = 256;

  DatagramEngine(const EngineContext& context, const DatagramOptions& options, MisdirectionLog* log,
                 PlacementSampler* sampler, DatagramSink* sink);
  ~DatagramEngine() override;

  // Duplicates the descriptor. Without `receive`, the socket only answers forwarded datagrams.
  Status AddSocket(int fd, int endpoint, bool receive);
  Status Start();
  // Without, all datagrams are served here from now on: the owners of their buckets may end before
  // this worker.
  void SetForwarding(bool forward);
  // Another process reads the bound sockets from now on. This one still answers by them.
  void StopReceiving();
  // Idempotent.
  void Close();

  // Connects a socket to a peer and returns its id. All of its datagrams are counted for the
  // bucket of what the peer sends.
  Result<uint32_t> Connect(const Connecting& how);
  void Disconnect(uint32_t id);
  // Counts what full connected sockets have lost since they were asked last. Each costs a system
  // call, so it asks some of them, and goes on with the others the next time.
  void CountDrops();
  // Null when there is no such socket.
  const SocketAddress* LocalAddress(uint32_t id) const;

  // Delivers datagrams that other workers have received for this worker's buckets. True when more
  // are waiting.
  bool DeliverForwarded();

  const ReceivedDatagram& row(size_t i) const { return rows_[i]; }
  // The address that row i was sent to.
  SocketAddress Destination(size_t i) const;
  void Send(const DatagramReply* replies, size_t count);
  // Why nothing can be sent through the connected socket.
  Refusal Check(uint32_t connected) const;
  // Completes a target for its socket. False: there is no such endpoint.
  bool Resolve(DatagramTarget* target) const;

 private:
  struct BoundSocket;
  struct ConnectedSocket;
  struct Outlet;
  // A promoted flow whose socket is connected. Its owner has not got it yet.
  struct OpenedFlow {
    const BoundSocket* socket;
    ReceivedDatagram flow;
    PassedSocket own;
  };

  void Receive(BoundSocket* socket);
  int ReceiveBatch(const BoundSocket& socket, int fd, const SocketAddress* destination);
  void CheckPrediction(ConnectedSocket* socket);
  void CountDropsOf(ConnectedSocket* socket);
  void ReceiveConnected(ConnectedSocket* socket);
  static void OnTurnEnd(uv_check_t* check);
  void DeliverConnected();
  bool Serve(size_t count);
  void ReturnRows(size_t count);
  void CountServed(size_t count, int times);
  bool Classify(ReceivedDatagram* row, const BoundSocket& socket);
  bool Forward(const ReceivedDatagram& row);
  void OnForwarded(const ForwardedDatagram& datagram, const uint8_t* payload) override;
  void PromoteDue(const BoundSocket& socket);
  void Promote(const BoundSocket& socket, const ReceivedDatagram& flow);
  void PassOpened();
  bool PassFirst(OpenedFlow* one);
  void ReadOpened(const OpenedFlow& one);
  void ReadQueued(const BoundSocket& socket, int fd, const SocketAddress* destination);
  void GiveUp(const Failure& failure);
  bool Pass(const ReceivedDatagram& flow, PassedSocket* passed);
  void Abandon(const ReceivedDatagram& flow, int fd);
  void AdoptPassed();
  void OnPromotedReadable(PromotedSocket* socket) override;
  PromotedSocket* PassOn(PromotedSocket* socket);
  int ReadPromoted(const PromotedSocket& socket);
  bool ClassifyStray(ReceivedDatagram* row, const ReceivedDatagram& flow);
  void ReadRest(const PromotedSocket& socket) override;
  void NoteError(uint32_t connected, int error);
  void DeliverErrors();
  BoundSocket* BoundOf(int endpoint) const;
  ConnectedSocket* ConnectedOf(uint32_t id) const;
  Outlet OutletOf(const DatagramReply& reply) const;
  int BucketOf(const DatagramReply& reply, const Outlet& outlet) const;
  int FillBatch(const DatagramReply* replies, size_t count, const Outlet& outlet,
                OutgoingDatagram* batch) const;
  void SendBatch(const DatagramReply* replies, const Outlet& outlet, const OutgoingDatagram* batch,
                 int size);

  const EngineContext& context_;
  DatagramOptions options_;
  MisdirectionLog* log_;
  PlacementSampler* sampler_;
  DatagramSink* sink_;
  Handle<uv_check_t> turn_end_;  // active while rows of connected sockets wait
  std::vector<std::unique_ptr<BoundSocket>> bound_;
  std::vector<std::unique_ptr<ConnectedSocket>> connected_;  // by slot
  size_t asked_for_drops_ = 0;                               // by CountDrops(), in all
  ConnectionIds ids_;
  DatagramBatcher batcher_;
  std::vector<ReceivedDatagram> rows_;
  size_t waiting_ = 0;    // rows of connected and promoted sockets that have not been delivered
  size_t forwarded_ = 0;  // rows of forwarded datagrams that have not been delivered
  std::unique_ptr<PromotedSockets> promoted_;  // null: flows are not promoted
  std::vector<OpenedFlow> opened_;
  Handle<uv_idle_t> pass_due_;             // active while there are any
  std::vector<ForwardedDatagram> passed_;  // stand for sockets that have not been adopted
  struct SocketError {
    uint32_t connected;
    int error;
  };
  std::vector<SocketError> errors_;  // that have not been delivered
  Handle<uv_idle_t> errors_due_;     // active while there are any
  bool closed_ = false;
};

}  // namespace rss
