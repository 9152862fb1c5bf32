#include "engine/placement_sampler.h"

#include "platform/platform.h"

namespace rss {
namespace {

// Where the kernel or a card has placed the flow, its bucket says the CPU. Negative: unknown.
int PacketCpu(const FlowClassifier& classifier, int fd, const Flow& flow) {
  if (flow.from_kernel) return classifier.CpuOf(flow.bucket);
  return fd < 0 ? -1 : IncomingCpu(fd);
}

}  // namespace

// The worker's CPU is asked for each time: a program or the system may move the thread.
void PlacementSampler::Sample(int fd, const Flow& flow) {
  int packets = PacketCpu(context_.table->classifier(), fd, flow);
  int own = packets < 0 ? -1 : CurrentCpu();
  if (own < 0) return;
  BucketCounters& counter = context_.counter(flow.bucket);
  counter.placement_samples += 1;
  if (packets != own) counter.misplaced += 1;
}

}  // namespace rss
