// Serves stream connections in batches. Each connection has a uv_poll_t whose callback reads into a
// slab immediately. A uv_check_t then calls JavaScript once for all of them.
//
// libuv keeps calling back for a level-triggered descriptor that stays readable, so a callback
// always reads. Input that JavaScript does not consume stays in the connection. No event reports
// complete requests that are left there, so the connection is requeued for the next turn, and an
// active uv_idle_t keeps the loop from sleeping until then.
#pragma once

#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "core/bucket_table.h"
#include "core/connection_ids.h"
#include "core/counters.h"
#include "core/refusal.h"
#include "core/rows.h"
#include "engine/connection_receiver.h"
#include "engine/file_reader.h"
#include "engine/handle.h"
#include "engine/idle_timer.h"
#include "engine/send_source.h"
#include "engine/splice.h"
#include "engine/stream_connection.h"
#include "platform/posix/connect.h"
#include "platform/posix/stream.h"

namespace rss {

// Receives what a turn reports. The rows lie in the tables of StreamOptions.
class StreamSink {
 public:
  virtual ~StreamSink() = default;
  virtual void OnTurn(const TurnRow& turn) = 0;
};

// Whether output that refers to a segment goes out by sendfile(2).
enum class ZeroCopy { kNever, kAuto, kAlways };

struct StreamOptions {
  size_t worker = 0;        // its index in the bucket table
  uint8_t* slab = nullptr;  // holds the input of one turn
  size_t slab_size = 0;     // at least max_input + kMostExtra
  InputRow* inputs = nullptr;
  size_t input_rows = 0;
  OpenedRow* opened = nullptr;
  ClosedRow* closed = nullptr;
  CompletedRow* completed = nullptr;
  SplicedRow* spliced = nullptr;
  size_t event_rows = 0;  // of each of the four tables above
  size_t max_input = 0;   // bytes of the largest request
  // Bytes of output that may wait for one peer. Beyond that, its connection is closed.
  size_t max_queued = 0;
  // Bytes of memory that all waiting output may take. Beyond that, the connection with the most is
  // closed.
  size_t max_queued_total = 0;
  uint64_t idle_timeout = 0;  // milliseconds; 0: none
  bool half_open = false;     // a peer that closed its side does not end the connection
  ZeroCopy zero_copy = ZeroCopy::kAuto;
  size_t reference_size = 0;  // output of at least this many bytes is referred to, not copied
  BucketCounters* counters = nullptr;  // this worker's, one per bucket
  RefusalCounts* refusals = nullptr;   // this worker's
};

// Totals, except for `connections`, `queued`, `splices` and `pipes`, which are current values.
struct StreamStatistics {
  double connections = 0;
  double queued = 0;     // bytes of output that wait for their peers
  double callbacks = 0;  // of poll handles
  double reads = 0;
  double writes = 0;
  double short_writes = 0;
  double bytes_shared = 0;  // sent by sendfile(2)
  double turns = 0;         // calls of the sink
  double splices = 0;       // pairs of connections
  double pipes = 0;
  double bytes_spliced = 0;  // forwarded without passing through this process
  double file_reads = 0;     // for output that would have waited for the disk
};

class StreamEngine final : public ConnectionReceiver,
                           private AckTrackerOwner,
                           private FileReaderOwner,
                           private IdleTimerOwner {
 public:
  // The most bytes read from a connection per turn: usually, and within a large request.
  static constexpr size_t kReadSize = 16 * 1024;
  static constexpr size_t kLargeReadSize = 256 * 1024;
  // How much more input than was asked for a row can have.
  static constexpr size_t kMostExtra = kReadSize + TlsSession::kRecord;
  // The most bytes of waiting output sent to a peer per turn, so that it does not starve others.
  static constexpr size_t kMostSent = 2 * 1024 * 1024;
  // Larger output of a paced connection over loopback is copied, even where sendfile(2) would do.
  static constexpr size_t kMostPaced = 64 * 1024;
  // The most bytes read from a spliced connection at once without a pipe, and per event.
  static constexpr size_t kForwardSize = 64 * 1024;
  static constexpr size_t kMostForwarded = 1024 * 1024;
  // A lingering connection is closed after this much silence.
  static constexpr uint64_t kLingerMs = 5000;
  static constexpr int kPortTries = 32;  // for a bucket, through a card

  StreamEngine(uv_loop_t* loop, std::shared_ptr<BucketTable> table, const StreamOptions& options,
               StreamSink* sink);
  ~StreamEngine() override { Close(); }

  // Takes over a connected socket. Closes it when there are too many connections (2^20).
  void Receive(Connection&& connection) override;
  void EndPass() override {}
  bool has_waiting() const override { return false; }
  // Begins to connect. The connection will be reported as opened, or as closed with its error.
  Result<uint32_t> Connect(Result<UniqueFd> socket, bool is_unix);
  // The same with TCP. Where a card chooses the bucket, it may choose another one than was asked
  // for, as long as its key is not known. Then the next source port is tried.
  Result<uint32_t> Connect(const Connecting& how);
  // Sends output in the order of its rows. Counts and skips those that are refused.
  void Flush(const OutputRow* rows, size_t count);
  // Why Flush() would refuse the row now. An end that has not been reported is no reason.
  Refusal Check(const OutputRow& row) const;
  // Registers a source of output; returns its index for OutputRow::source. Plain memory must
  // outlive the engine. Bytes of a segment or file must not change until the output that refers to
  // them is sent.
  uint32_t AddBuffer(const uint8_t* data, size_t size);
  void EmptyBuffer(uint32_t buffer) { buffers_[buffer].size = 0; }
  uint32_t AddSource(std::shared_ptr<SendSource> source);
  void RemoveSource(uint32_t buffer);
  // Accepted TCP connections begin with a handshake from now on. Called again, connections that are
  // accepted later have the new keys and certificates.
  Status SetTls(const TlsOptions& options);

  // Where the peer is, by its route. kUnknown while the system has not answered: ask again later.
  StreamConnection::Peer PeerOf(uint32_t id);

  // Turns of all workers. Memory may be reused once the turns that could refer to it have ended.
  Epochs& epochs() { return table_->epochs(); }

  // Removes a connection from the engine without closing it. Returns its descriptor and bucket,
  // unconsumed input and unsent output. ENOTCONN when there is no such connection; ENOTSUP when it
  // has TLS.
  struct Detached {
    UniqueFd fd;
    int bucket = 0;
    bool accepted = false;
    ByteQueue input, output;  // references in the output are copied
  };
  // With `with_row`, the input includes what JavaScript has not consumed of this turn's row.
  Result<Detached> Detach(uint32_t id, bool with_row);
  // Takes over a duplicate of a connected socket, and `size` bytes that have been read of it. It is
  // not reported as opened, and nothing is read from it before it is spliced. Bucket -1: it is
  // found.
  Result<uint32_t> Attach(int fd, int bucket, bool accepted, const uint8_t* input, size_t size);
  Status Addresses(uint32_t id, SocketAddress* local, SocketAddress* peer) const;

  // Joins two connections: what is received on one is sent on the other, after their input that has
  // been read and their waiting output. The splice ends after `idle` milliseconds without a byte,
  // or once a connection has given `max` bytes; 0: no limit. Returns the token of its rows.
  Result<uint32_t> Splice(uint32_t first, uint32_t second, uint64_t idle, double max);
  // Returns both connections to the engine. False when this one is not spliced.
  bool Unsplice(uint32_t id);

  struct Listed {
    int fd = -1;
    int bucket = 0;
    bool accepted = false;
    uint64_t age_ms = 0;
    ConnectionBytes bytes;  // where the kernel does not count them
  };
  // Open connections in `count` slots from this one on. Sets `slot` to the next one, or to -1 after
  // the last. The descriptors are valid until the engine runs again.
  std::vector<Listed> List(int64_t* slot, size_t count) const;
  const FlowClassifier& classifier() const { return table_->classifier(); }

  // Serves the input that has arrived, then ends all connections, including new ones.
  void EndAll();
  // Closes everything and reports nothing. Idempotent.
  void Close();

  // Includes connections whose end has not been reported yet.
  size_t connections() const { return connections_ + closed_rows_.size(); }
  StreamStatistics statistics() const;

 private:
  struct Buffer {
    const uint8_t* data;  // null for a file
    size_t size;
    std::shared_ptr<SendSource> source;
  };

  // Null, too, while JavaScript does not know of the connection.
  StreamConnection* Find(uint32_t id) const {
    uint32_t slot = ConnectionIds::SlotOf(id);
    StreamConnection* c = slot < slots_.size() ? slots_[slot].get() : nullptr;
    return c != nullptr && c->id == id && !c->is_handshaking() ? c : nullptr;
  }

  Result<StreamConnection*> Add(UniqueFd fd);
  void ReportOpened(StreamConnection* c, const Flow& flow);
  void OnConnected(StreamConnection* c);
  static void OnPoll(uv_poll_t* poll, int status, int events);
  bool UseEdges(StreamConnection* c);
  void UpdatePoll(StreamConnection* c);

  // Input
  void Read(uint32_t id);
  ssize_t Receive(StreamConnection* c, uint8_t* to, size_t size, size_t* taken);
  void Discard(StreamConnection* c);
  void Deliver(uint32_t id);
  bool MakeRoom(uint32_t id, size_t bytes);
  void AddRow(StreamConnection* c, size_t length);
  bool CanDeliver(const StreamConnection* c) const;
  void ApplyConsumed(const InputRow& row);
  void Requeue(StreamConnection* c);
  void ServeRequeued();

  // Spliced connections
  SplicedPair* PairAt(uint32_t id) const {
    uint32_t slot = ConnectionIds::SlotOf(id);
    return slot < pair_at_.size() ? pair_at_[slot] : nullptr;
  }
  void KeepRow(StreamConnection* c);
  int SplicedEvents(const StreamConnection* c) const;
  void OnSplicedPoll(StreamConnection* c, int events);
  void Advance(SplicedPair& pair);
  bool Forward(SplicedPair& pair, SpliceWay& way);
  ssize_t Take(SplicedPair& pair, SpliceWay& way, size_t* wanted);
  bool Pass(SplicedPair& pair, SpliceWay& way, const uint8_t* data, size_t size);
  bool PassEnd(SplicedPair& pair, SpliceWay& way);
  void CountTaken(SplicedPair& pair, SpliceWay& way, size_t bytes);
  void CountGiven(StreamConnection* c, size_t bytes);
  void Join(SpliceWay& way);
  uint64_t JoinedCheckMs() const;
  void CountJoined(SplicedPair& pair, SpliceWay& way);
  void TakeApart(SplicedPair& pair, SpliceEvent event, uint32_t connection, int error);
  void Return(SplicedPair& pair, SpliceEvent event, uint32_t connection);
  void BreakSplice(StreamConnection* c, int error);
  void Resume(uint32_t id);
  void ReportSpliced(const SplicedPair& pair, SpliceEvent event, uint32_t connection, int error);
  void CheckSplices();
  void CheckSplicesAt(uint64_t when);

  // Turns
  bool HasEvents() const {
    return !opened_rows_.empty() || !closed_rows_.empty() || !completed_rows_.empty() ||
           !spliced_rows_.empty();
  }
  void OnCheck();
  void RunTurn();
  void Schedule();

  // Output
  using Reference = OutputQueue::Reference;
  Refusal Judge(const StreamConnection* c, const OutputRow& row) const;
  void ApplyCommand(StreamConnection* c, const OutputRow& row);
  size_t FlushOne(const OutputRow* rows, size_t count);
  void Send(StreamConnection* c, iovec* parts, int count, size_t total, Reference reference,
            bool marked);
  ssize_t Transfer(StreamConnection* c, iovec* parts, int count, const Reference* reference,
                   bool marked);
  bool Shares(StreamConnection* c, const Reference& reference);
  ssize_t AwaitDisk(StreamConnection* c, const Reference& reference);
  void OnFileRead(uint32_t connection, int result) override;
  void SendQueued(StreamConnection* c);
  void CloseSlowest();
  StreamConnection::Peer PeerOf(StreamConnection* c);
  bool HoldsBack(StreamConnection* c);

  // TLS
  bool BeginHandshake(StreamConnection* c, const Flow& flow);
  void Handshake(StreamConnection* c);
  void RemoveUnopened(StreamConnection* c);
  ssize_t ReceiveSealed(StreamConnection* c, uint8_t* to, size_t size, size_t* taken);
  int TakeSealed(StreamConnection* c, bool report_ack = false);
  bool SendSealed(StreamConnection* c);
  ssize_t TransferSealed(StreamConnection* c, const iovec* parts, int count,
                         const Reference* reference, bool report_ack);
  bool SealEnd(StreamConnection* c);

  // Marks in the output
  void AddMark(StreamConnection* c, uint32_t id, OutputQueue::Mark mark);
  bool ReportsAcks(StreamConnection* c);
  void OnMarkReached(StreamConnection* c, OutputQueue::Mark mark);
  void CheckAcknowledged(StreamConnection* c, bool orderly);
  bool OnAckCheck(uint32_t connection) override;
  void LoseMarks(StreamConnection* c, int error);
  void ReportCompleted(uint32_t token, uint32_t flags);

  // Ends
  void EndQuiet(StreamConnection* c);
  void Finish(StreamConnection* c);
  void Linger(StreamConnection* c);
  void Remove(StreamConnection* c, int error);
  void CountClosed(const StreamConnection& c) {
    if (c.place && !c.is_handshaking()) options_.counters[c.bucket].closed += 1;
  }
  bool IsTimed(const StreamConnection* c) const {
    return options_.idle_timeout > 0 || c->is_lingering() || c->is_handshaking();
  }
  void Touch(const StreamConnection* c) {
    if (IsTimed(c)) idle_timer_.Touch(ConnectionIds::SlotOf(c->id));
  }
  void OnQuiet(uint32_t slot, uint64_t quiet) override;
  bool CountsBytes(const StreamConnection* c) const { return !kernel_counts_bytes_ || c->is_unix; }
  ConnectionBytes& BytesOf(const StreamConnection* c) {
    if (bytes_.size() < slots_.size()) bytes_.resize(slots_.size());
    return bytes_[ConnectionIds::SlotOf(c->id)];
  }

  bool TryAnotherPort(StreamConnection* c, const Flow& flow);

  // A connection to a bucket, until it is open.
  struct Wanted {
    Connecting how;
    int tries = 0;
  };

  // What connections with TLS share.
  struct Tls {
    std::shared_ptr<TlsContext> context;
    uint64_t timeout = 0;  // milliseconds for a handshake
    TlsBuffers buffers;
    std::unique_ptr<uint8_t[]> received{new uint8_t[kLargeReadSize]};  // ciphertext
    std::unique_ptr<uint8_t[]> gathered{new uint8_t[TlsSession::kRecord]};
  };

  // Of the connections of a splice that returns them; 0: none.
  struct SpliceReport {
    SplicedRow row;
    uint32_t returned[2];
  };

  uv_loop_t* loop_;
  std::shared_ptr<BucketTable> table_;
  StreamOptions options_;
  StreamSink* sink_;
  Handle<uv_check_t> check_;
  Handle<uv_idle_t> idle_;
  AckTracker ack_tracker_;
  FileReader file_reader_;
  IdleTimer idle_timer_;
  Handle<uv_timer_t> splice_timer_;

  ConnectionIds ids_;
  std::vector<std::unique_ptr<StreamConnection>> slots_;
  std::vector<uint64_t> opened_at_;  // milliseconds of the loop, by slot: no turn reads them
  // By slot, of connections whose bytes the kernel does not count.
  std::vector<ConnectionBytes> bytes_;
  const bool kernel_counts_bytes_ = CountsBytesOfConnections();
  size_t connections_ = 0;
  std::unordered_map<uint32_t, Wanted> wanted_;  // by the connection's id
  std::unique_ptr<Tls> tls_;                     // null without TLS

  size_t rows_ = 0;  // used rows of options_.inputs
  size_t slab_used_ = 0;
  bool in_turn_ = false;
  bool holding_ = false;  // HoldBack() is on for the connection that is being sent to
  bool ending_ = false;
  bool closed_ = false;
  std::vector<OpenedRow> opened_rows_;  // for the next turn, like the two below
  std::vector<ClosedRow> closed_rows_;
  std::vector<CompletedRow> completed_rows_;
  std::vector<SpliceReport> spliced_rows_;
  std::vector<uint32_t> requeued_;
  struct {
    uint32_t connection = 0;
    uint32_t flags = 0;  // of CompletedRow
  } lost_;               // the connection that was removed last
  size_t copied_ = 0;    // bytes of memory that all waiting output takes
  std::vector<Buffer> buffers_;
  std::unique_ptr<uint8_t[]> scratch_;  // kReadSize

  PipePool pipes_;
  std::unordered_map<uint32_t, std::unique_ptr<SplicedPair>> pairs_;  // by token
  std::vector<SplicedPair*> pair_at_;                                 // by the slots of both
  std::unique_ptr<uint8_t[]> forward_buffer_;  // kForwardSize, from the first splice on
  uint32_t next_token_ = 0;
  uint64_t splice_check_at_ = 0;  // milliseconds of the loop, while the timer is active
  StreamStatistics statistics_;
};

}  // namespace rss
