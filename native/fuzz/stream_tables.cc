// Tables of rows as a hostile callback would leave them: any offset, any connection, at any time.
// Needs libuv and its headers: Node exports its own copy only to addons.
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>
#include <uv.h>

#include <algorithm>
#include <vector>

#include "engine/stream_engine.h"

namespace {

using namespace rss;

constexpr size_t kSlab = 64 * 1024, kSegment = 64 * 1024;

// The input as numbers; zeros after its end.
class Numbers {
 public:
  Numbers(const uint8_t* data, size_t size) : data_(data), size_(size) {}

  bool empty() const { return size_ == 0; }
  uint32_t Byte() {
    if (size_ == 0) return 0;
    --size_;
    return *data_++;
  }
  // Small numbers, numbers near the size of the memory, and any.
  uint32_t Any() {
    uint32_t kind = Byte(), number = Byte();
    if (kind % 4 > 0) number |= Byte() << 8;
    if (kind % 4 == 2) number += kSlab;
    if (kind % 4 == 3) number |= Byte() << 16 | Byte() << 24;
    return number;
  }

 private:
  const uint8_t* data_;
  size_t size_;
};

class Callback final : public StreamSink {
 public:
  explicit Callback(Numbers* numbers) : numbers_(numbers) {}

  void OnTurn(const TurnRow& turn) override {
    for (size_t i = 0; i < turn.opened; ++i) connections_.push_back(opened_[i].connection);
    for (size_t i = 0; i < turn.inputs; ++i) {
      if (numbers_->Byte() % 2 == 0) continue;
      inputs_[i].consumed = numbers_->Any();
      inputs_[i].needed = numbers_->Any();
    }
    Flush();
  }

  uint32_t AnyConnection() {
    uint32_t whom = numbers_->Byte();
    return connections_.empty() || whom % 8 == 0 ? numbers_->Any()
                                                 : connections_[whom % connections_.size()];
  }

  void Flush() {
    switch (numbers_->Byte() % 4) {
      case 0: {
        uint32_t first = AnyConnection();
        (void)engine_->Splice(first, AnyConnection(), numbers_->Byte(), numbers_->Any());
        break;
      }
      case 1:
        engine_->Unsplice(AnyConnection());
        break;
      default:
        break;
    }
    OutputRow rows[16];
    size_t count = numbers_->Byte() % 16;
    for (size_t i = 0; i < count; ++i) {
      rows[i].to = AnyConnection();
      uint32_t what = numbers_->Byte();
      rows[i].source = what % 2 == 0 ? what % 8 : UINT32_MAX - what % 8;
      rows[i].offset = numbers_->Any();
      rows[i].length = numbers_->Any();
      (void)engine_->Check(rows[i]);
    }
    engine_->Flush(rows, count);
  }

  StreamEngine* engine_ = nullptr;
  InputRow inputs_[8];
  OpenedRow opened_[8];
  ClosedRow closed_[8];
  CompletedRow completed_[8];
  SplicedRow spliced_[8];

 private:
  Numbers* numbers_;
  std::vector<uint32_t> connections_;
};

uv_loop_t* Loop() {
  static uv_loop_t loop;
  static bool made = uv_loop_init(&loop) == 0;
  return made ? &loop : nullptr;
}

// What a peer does: send, read or disconnect.
void Act(Numbers* numbers, UniqueFd* peer) {
  static uint8_t bytes[kSlab];
  switch (numbers->Byte() % 8) {
    case 0:
      peer->reset();
      break;
    case 1:
      shutdown(peer->get(), SHUT_WR);
      break;
    case 2:
    case 3:
      while (recv(peer->get(), bytes, sizeof bytes, MSG_DONTWAIT) > 0) {
      }
      break;
    default:
      send(peer->get(), bytes, std::min<size_t>(numbers->Any(), sizeof bytes),
           MSG_DONTWAIT | MSG_NOSIGNAL);
  }
}

}  // namespace

extern "C" int LLVMFuzzerInitialize(int*, char***) {
  signal(SIGPIPE, SIG_IGN);  // as Node does
  return 0;
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static uint8_t slab[kSlab], out[kSlab];
  static BucketCounters counters[2];
  static RefusalCounts refusals;
  Numbers numbers(data, size);
  Callback callback(&numbers);
  auto table =
      std::make_shared<BucketTable>(VirtualRssConfig({0}, 1, "fuzz"), std::vector<int>{0, 0}, 1);
  StreamOptions options;
  options.slab = slab;
  options.slab_size = kSlab;
  options.inputs = callback.inputs_;
  options.input_rows = std::size(callback.inputs_);
  options.opened = callback.opened_;
  options.closed = callback.closed_;
  options.completed = callback.completed_;
  options.spliced = callback.spliced_;
  options.event_rows = std::size(callback.opened_);
  options.max_input = kSlab - StreamEngine::kReadSize;
  options.max_queued = kSlab;
  options.max_queued_total = 2 * kSlab;
  options.half_open = numbers.Byte() % 2 == 0;
  options.zero_copy = ZeroCopy::kAlways;
  options.reference_size = 4096;
  options.counters = counters;
  options.refusals = &refusals;
  StreamEngine engine(Loop(), table, options, &callback);
  callback.engine_ = &engine;
  engine.AddBuffer(slab, kSlab);
  engine.AddBuffer(out, kSlab);
  SegmentOptions memory;
  memory.size = kSegment;
  auto segment = Segment::Create(memory);
  if (segment.ok()) {
    auto source = std::make_shared<SendSource>();
    source->segment = segment.value;
    engine.AddSource(std::move(source));
  }

  UniqueFd peers[3];
  for (UniqueFd& peer : peers) {
    int ends[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends) != 0) break;
    peer.reset(ends[0]);
    Connection connection;
    connection.fd.reset(ends[1]);
    engine.Receive(std::move(connection));
  }
  while (!numbers.empty()) {
    Act(&numbers, &peers[numbers.Byte() % std::size(peers)]);
    uv_run(Loop(), UV_RUN_NOWAIT);
    if (numbers.Byte() % 4 == 0) callback.Flush();
  }
  engine.Close();
  for (int i = 0; i < 100 && uv_run(Loop(), UV_RUN_NOWAIT) != 0; ++i) {
  }
  if (uv_loop_alive(Loop()) != 0) __builtin_trap();  // a handle is left
  return 0;
}
