#include "engine/misdirection_log.h"

namespace rss {

MisdirectionLog::MisdirectionLog(const EngineContext& context, bool enabled)
    : context_(context),
      enabled_(enabled),
      sampled_(static_cast<size_t>(context.table->classifier().config().buckets())) {}

void MisdirectionLog::Add(Transport transport, const Flow& flow, const SocketAddress& peer,
                          const SocketAddress& local) {
  if (!enabled_) return;
  context_.counter(flow.bucket).misdirected += 1;
  if (peer.family() != AF_INET && peer.family() != AF_INET6) return;  // a Unix socket
  auto sampled = sampled_[static_cast<size_t>(flow.bucket)];
  if (!sampled) samples_.push_back({transport, flow, peer, local});
  sampled = true;
}

std::vector<Misdirection> MisdirectionLog::TakeSamples() {
  sampled_.assign(sampled_.size(), false);
  std::vector<Misdirection> taken;
  taken.swap(samples_);
  return taken;
}

}  // namespace rss
