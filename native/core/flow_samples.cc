#include "core/flow_samples.h"

#include <algorithm>

namespace rss {

void FlowSamples::Want(size_t count) {
  std::lock_guard<std::mutex> lock(mutex_);
  wanted_.store(std::min(count, kMost), std::memory_order_relaxed);
}

std::vector<FlowSample> FlowSamples::Take() {
  std::lock_guard<std::mutex> lock(mutex_);
  std::vector<FlowSample> taken;
  taken.swap(samples_);
  return taken;
}

void FlowSamples::Keep(const FlowSample& sample) {
  std::lock_guard<std::mutex> lock(mutex_);
  size_t wanted = wanted_.load(std::memory_order_relaxed);
  // One datagram of a flow says as much as all of them.
  bool known = std::any_of(samples_.begin(), samples_.end(), [&](const FlowSample& other) {
    return other.transport == sample.transport && other.peer == sample.peer &&
           other.local == sample.local;
  });
  if (wanted == 0 || known) return;
  samples_.push_back(sample);
  wanted_.store(wanted - 1, std::memory_order_relaxed);
}

}  // namespace rss
