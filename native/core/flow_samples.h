// Samples of the flow ids that a network card gives, from which its key is learnt. A flow costs one
// comparison as soon as enough have been kept.
#pragma once

#include <atomic>
#include <mutex>
#include <vector>

#include "core/flow.h"

namespace rss {

struct FlowSample {
  Transport transport = Transport::kTcp;
  KernelFlow flow;
  SocketAddress peer, local;
};

class FlowSamples {
 public:
  static constexpr size_t kMost = 64;

  explicit FlowSamples(size_t wanted) : wanted_(wanted) {}

  // Any thread may call it, like the others.
  void Add(Transport transport, const KernelFlow& flow, const SocketAddress& peer,
           const SocketAddress& local) {
    if (wanted_.load(std::memory_order_relaxed) > 0 && flow.hash_type != 0)
      Keep({transport, flow, peer, local});
  }

  // Keeps this many more.
  void Want(size_t count);
  std::vector<FlowSample> Take();

 private:
  void Keep(const FlowSample& sample);

  std::atomic<size_t> wanted_;
  std::mutex mutex_;
  std::vector<FlowSample> samples_;
};

}  // namespace rss
