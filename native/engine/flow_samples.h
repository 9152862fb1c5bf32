// Samples of the flow ids that a card gives, for those who learn its key. Bounded: once enough
// flows have been kept, a flow costs a comparison.
#pragma once

#include <vector>

#include "engine/engine_context.h"

namespace rss {

struct FlowSample {
  Transport transport = Transport::kTcp;
  KernelFlow flow;
  SocketAddress peer, local;
};

class FlowSamples {
 public:
  // The most that are kept for a card.
  static constexpr size_t kMost = 64;

  explicit FlowSamples(const EngineContext& context)
      : enabled_(context.table->classifier().config().has_card()), wanted_(enabled_ ? kMost : 0) {}

  void Add(Transport transport, const KernelFlow& flow, const SocketAddress& peer,
           const SocketAddress& local) {
    if (!enabled_) return;
    if (flow.hash_type == 0)
      ++without_id_;
    else if (wanted_ > 0)
      Keep({transport, flow, peer, local});
  }

  // Keeps this many more.
  void Want(size_t count) { wanted_ = enabled_ ? count : 0; }
  std::vector<FlowSample> Take() {
    std::vector<FlowSample> taken;
    taken.swap(samples_);
    return taken;
  }
  // Connections and datagrams without an id.
  double without_id() const { return without_id_; }

 private:
  // One datagram of a flow says as much as all of them.
  void Keep(const FlowSample& sample) {
    for (const FlowSample& other : samples_)
      if (other.transport == sample.transport && other.peer == sample.peer) return;
    samples_.push_back(sample);
    --wanted_;
  }

  bool enabled_;
  size_t wanted_;
  double without_id_ = 0;
  std::vector<FlowSample> samples_;
};

}  // namespace rss
