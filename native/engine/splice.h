// Two spliced connections, and the pipes that their bytes pass through.
#pragma once

#include <limits>
#include <vector>

#include "engine/stream_connection.h"
#include "platform/platform.h"

namespace rss {

// The pipes of an engine. A pipe is in use for as long as it holds bytes.
class PipePool {
 public:
  static constexpr size_t kMost = 256;
  static constexpr size_t kMostIdle = 16;

  // Without a pipe when the limit is reached, or the system has none to give.
  Pipe Take() {
    if (!idle_.empty()) {
      Pipe pipe = std::move(idle_.back());
      idle_.pop_back();
      return pipe;
    }
    if (open_ >= kMost) return Pipe();
    Pipe pipe = Pipe::Open();
    if (pipe) ++open_;
    return pipe;
  }
  // Keeps an empty pipe for later. Closes one that still holds bytes.
  void Give(Pipe pipe) {
    if (!pipe) return;
    if (pipe.held() == 0 && idle_.size() < kMostIdle)
      idle_.push_back(std::move(pipe));
    else
      --open_;
  }
  size_t open() const { return open_; }

 private:
  std::vector<Pipe> idle_;
  size_t open_ = 0;
};

// One direction of a splice.
struct SpliceWay {
  StreamConnection* from = nullptr;
  StreamConnection* to = nullptr;
  double bytes = 0;  // taken from `from`
  double left = std::numeric_limits<double>::infinity();
  Pipe pipe;                // empty unless it holds bytes
  bool large = false;       // the last read was large enough for a pipe to pay
  bool copies = false;      // the sockets cannot be spliced by a pipe
  bool ended = false;       // the end of the input has been passed on
  bool joined = false;      // the kernel forwards by itself
  bool joinable = true;     // JoinSockets() has not failed
  double joined_bytes = 0;  // what it has forwarded since then and is counted in `bytes`
};

struct SplicedPair {
  uint32_t token = 0;
  SpliceWay ways[2];
  uint64_t idle = 0;  // milliseconds; 0: no limit
  uint64_t last = 0;  // uv_now() of the last byte

  SpliceWay& from(const StreamConnection* c) { return ways[ways[0].from == c ? 0 : 1]; }
  SpliceWay& into(const StreamConnection* c) { return ways[ways[0].to == c ? 0 : 1]; }
  StreamConnection* other(const StreamConnection* c) { return from(c).to; }
};

}  // namespace rss
