// Serves stream connections in batches: one uv_poll_t per connection whose callback receives at
// once into a slab, one uv_check_t that makes the one JavaScript call of the turn.
//
// A level-triggered descriptor that is left ready makes libuv call again and again, so a callback
// always reads. What JavaScript does not consume stays in the connection; a connection that has
// more complete requests than were consumed gets no new readiness event, and is carried over:
// offered again in the next turn, which an active uv_idle_t keeps from sleeping.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "core/bucket_table.h"
#include "core/byte_queue.h"
#include "core/connection_ids.h"
#include "core/counters.h"
#include "core/rows.h"
#include "engine/connection_receiver.h"
#include "engine/handle.h"
#include "engine/output_queue.h"
#include "engine/send_source.h"
#include "platform/posix/stream.h"

namespace rss {

class StreamEngine;

// What a connection has sent and its peer has not acknowledged, for those that somebody asks it of.
struct Unconfirmed {
  struct Wait {
    uint32_t token;
    double position;  // of `written`, once so much is acknowledged
    bool shared;      // pages of a source are among it
  };
  std::deque<Wait> waits;
  double written = 0;  // bytes since the first wait
};

struct StreamConnection {
  StreamConnection(StreamEngine* e, uint32_t name, UniqueFd descriptor)
      : engine(e), id(name), fd(std::move(descriptor)), poll(this) {}

  // What every turn looks at comes first: with thousands of connections each line of cache counts.
  StreamEngine* engine;
  uint32_t id;
  UniqueFd fd;
  int events = 0;          // what the poll handle waits for
  bool edge = false;       // and is told of once, not for as long as it holds: see WatchEdges()
  bool returning = false;  // has been read before
  bool local = false;      // a Unix socket
  bool hung_up = false;    // the end of its input is known to be there
  bool unread = false;     // there may be input in the kernel that no event will tell of
  bool connecting = false;
  bool offered = false;    // has a row in the table
  bool carried = false;    // is on the carry-over list
  bool ended = false;      // the peer has closed its side
  bool told = false;       // and JavaScript knows
  bool draining = false;   // the server stops: answer what has come, then finish
  bool finishing = false;  // takes no more input or output; ends when its output is sent
  bool lingering = false;  // our side is closed; input is thrown away until the peer's is too
  bool shared = false;     // pages of a source have been sent since the last mark
  uint32_t needed = 0;     // bytes of input before it is offered again
  // kPaced: perhaps on this host too, see IsPaced().
  enum class Peer : uint8_t { kUnknown, kPerhapsHere, kPaced, kElsewhere } peer = Peer::kUnknown;
  int bucket = 0;
  Place place;         // of one that was accepted
  ByteQueue input;     // not consumed
  OutputQueue output;  // not taken by the kernel; while there is any, nothing is read
  std::unique_ptr<Unconfirmed> unconfirmed;
  Handle<uv_poll_t> poll;
};

// What a turn has to tell. The rows lie in the tables of StreamOptions.
class StreamSink {
 public:
  virtual ~StreamSink() = default;
  virtual void OnTurn(size_t opened, size_t inputs, size_t closed, size_t completed) = 0;
};

// Whether output that refers to a segment goes out by sendfile(2).
enum class ZeroCopy { kNever, kAuto, kAlways };

struct StreamOptions {
  size_t worker = 0;        // of the bucket table's
  uint8_t* slab = nullptr;  // input is read into it, anew each turn
  size_t slab_size = 0;     // at least max_input + kReadSize
  InputRow* inputs = nullptr;
  size_t input_rows = 0;
  OpenedRow* opened = nullptr;
  ClosedRow* closed = nullptr;
  CompletedRow* completed = nullptr;
  size_t event_rows = 0;  // of each of these three
  size_t max_input = 0;   // largest request in bytes
  size_t max_queued = 0;  // output that waits for a peer, in bytes, beyond which it is closed
  size_t max_queued_total =
      0;  // of all together, copies alone, beyond which the one with most is closed
  uint64_t idle_timeout = 0;  // milliseconds, 0 none
  bool half_open = false;     // a peer that closed its side does not end the connection
  ZeroCopy zero_copy = ZeroCopy::kAuto;
  size_t reference_size = 0;  // from so many bytes on, output is referred to rather than copied
  BucketCounters* counters = nullptr;  // one per bucket, this worker's own
};

// Since the engine was made; `connections` and `queued` now.
struct StreamStatistics {
  double connections = 0;
  double queued = 0;     // bytes of output that wait for their peers
  double callbacks = 0;  // of poll handles
  double reads = 0;
  double writes = 0;
  double short_writes = 0;
  double bytes_shared = 0;  // sent by sendfile(2)
  double turns = 0;         // calls of the sink
};

class StreamEngine final : public ConnectionReceiver {
 public:
  // Read at most so much of a connection in one turn: when it begins a request, and when it goes on
  // with a large one.
  static constexpr size_t kReadSize = 16 * 1024;
  static constexpr size_t kLargeReadSize = 256 * 1024;
  // Of what waits for a peer, so much goes out before others have their turn.
  static constexpr size_t kMostSent = 2 * 1024 * 1024;
  // Of a paced connection on this host, more is copied although it could be shared.
  static constexpr size_t kMostPaced = 64 * 1024;
  static constexpr uint64_t kLingerMs = 5000;

  StreamEngine(uv_loop_t* loop, std::shared_ptr<BucketTable> table, const StreamOptions& options,
               StreamSink* sink);
  ~StreamEngine() override { Close(); }

  // Takes a connected socket. It is closed at once when there are too many (2^20).
  void Receive(Connection&& connection) override;
  void EndPass() override {}
  bool has_waiting() const override { return false; }
  // Begins to connect; the connection is reported as opened, or as closed with its error.
  Result<uint32_t> Connect(Result<UniqueFd> socket, bool local);
  const FlowClassifier& classifier() const { return table_->classifier(); }
  // Sends output, in the order of its rows. Rows of connections that have gone are dropped.
  void Flush(const OutputRow* rows, size_t count);
  // A source of output: its index for OutputRow::buffer. Plain memory must outlive the engine; of a
  // segment or file nothing that output has referred to may change until it is sent.
  uint32_t AddBuffer(const uint8_t* data, size_t size);
  void EmptyBuffer(uint32_t buffer) { buffers_[buffer].size = 0; }
  uint32_t AddSource(std::shared_ptr<SendSource> source);
  void RemoveSource(uint32_t buffer);

  // Whether the peer is surely on another machine: see RouteTo().
  bool LeavesHost(uint32_t id);

  // Which worker's turns are waited for before memory that rows refer to is used again.
  Epochs& epochs() { return table_->epochs(); }

  // Takes a connection out of the engine without closing it: its descriptor and bucket, what has
  // been read and not been offered or consumed, and what has not been sent. No descriptor when it
  // has gone.
  struct Detached {
    UniqueFd fd;
    int bucket = 0;
    bool accepted = false;
    ByteQueue input, output;  // what its output referred to is copied
  };
  // `with_row`: what it has in the table of this turn, as far as that is not consumed, counts as
  // read.
  Detached Detach(uint32_t id, bool with_row);
  Status Addresses(uint32_t id, SocketAddress* local, SocketAddress* peer) const;

  // Answers what has come, then ends every connection; those to come too.
  void EndAll();
  // Closes everything, without a word. Idempotent.
  void Close();

  // Those whose end has not been told yet count.
  size_t connections() const { return connections_ + gone_.size(); }
  StreamStatistics statistics() const;

 private:
  struct Buffer {
    const uint8_t* data;  // null of a file
    size_t size;
    std::shared_ptr<SendSource> source;
  };

  StreamConnection* Find(uint32_t id) const {
    uint32_t slot = ConnectionIds::SlotOf(id);
    StreamConnection* c = slot < slots_.size() ? slots_[slot].get() : nullptr;
    return c != nullptr && c->id == id ? c : nullptr;
  }

  Result<StreamConnection*> Add(UniqueFd fd);
  void Report(StreamConnection* c, const Flow& flow);
  void OnConnected(StreamConnection* c);
  static void OnPoll(uv_poll_t* poll, int status, int events);
  void UpdatePoll(StreamConnection* c);

  void Read(uint32_t id);
  void Discard(StreamConnection* c);
  void Offer(uint32_t id);
  bool MakeRoom(uint32_t id, size_t bytes);
  void AddRow(StreamConnection* c, size_t length);
  bool CanGoOn(const StreamConnection* c) const;
  void Carry(StreamConnection* c);
  void ServeCarriedOver();

  bool HasEvents() const { return !opened_.empty() || !gone_.empty() || !completed_.empty(); }
  void OnCheck();
  void RunTurn();
  void Settle(const InputRow& row);
  void Schedule();

  void Obey(StreamConnection* c, const OutputRow& row);
  size_t FlushOne(const OutputRow* rows, size_t count);
  using Reference = OutputQueue::Reference;
  void Send(StreamConnection* c, iovec* parts, int count, size_t total, Reference reference);
  ssize_t Transfer(StreamConnection* c, iovec* parts, int count, const Reference* reference);
  bool Shares(StreamConnection* c, const Reference& reference);
  void SendQueued(StreamConnection* c);
  void CloseSlowest();
  void MarkOutput(StreamConnection* c, uint32_t id, OutputQueue::Mark mark);
  void Reached(StreamConnection* c, OutputQueue::Mark mark);
  void Complete(uint32_t token, uint32_t flags);
  void LoseMarks(StreamConnection* c, int error);
  StreamConnection::Peer PeerOf(StreamConnection* c);
  void Confirm(StreamConnection* c, bool orderly);
  void CheckUnconfirmed();
  void Finish(StreamConnection* c);
  void Linger(StreamConnection* c);
  void Remove(StreamConnection* c, int error);
  void CountClosed(const StreamConnection& c) {
    if (c.place) options_.counters[c.bucket].closed += 1;
  }

  void Active(const StreamConnection* c);
  void WatchTimeouts();
  void CheckTimeouts();

  uv_loop_t* loop_;
  std::shared_ptr<BucketTable> table_;
  StreamOptions options_;
  StreamSink* sink_;
  Handle<uv_check_t> check_;
  Handle<uv_idle_t> idle_;
  Handle<uv_timer_t> timer_;
  Handle<uv_timer_t> confirm_timer_;

  ConnectionIds ids_;
  std::vector<std::unique_ptr<StreamConnection>> slots_;
  std::vector<uint64_t>
      active_;  // by slot: uv_now() of the last byte, apart so that a scan is cheap
  size_t connections_ = 0;
  size_t lingering_ = 0;

  size_t rows_ = 0;  // in options_.inputs
  size_t slab_used_ = 0;
  bool in_turn_ = false;
  bool holding_ = false;  // the connection that is being sent to holds back small pieces
  bool ending_ = false;
  bool closed_ = false;
  std::vector<OpenedRow> opened_;
  std::vector<ClosedRow> gone_;
  std::vector<CompletedRow> completed_;
  std::vector<uint32_t> carried_;
  std::deque<uint32_t> unconfirmed_;  // connections
  struct {
    uint32_t connection = 0;
    uint32_t flags = 0;  // of CompletedRow
  } lost_;               // the connection that was removed last
  size_t copied_ = 0;    // bytes of memory that all output takes
  EmptyProbe empty_;
  std::vector<Buffer> buffers_;
  std::unique_ptr<uint8_t[]> scratch_;  // kReadSize
  StreamStatistics statistics_;
};

}  // namespace rss
