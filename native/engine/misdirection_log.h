// Counts and samples flows that reached a worker other than their bucket's owner.
#pragma once

#include <vector>

#include "engine/engine_context.h"

namespace rss {

struct Misdirection {
  Transport transport = Transport::kTcp;
  Flow flow;
  SocketAddress peer, local;
};

class MisdirectionLog {
 public:
  // `enabled` is false where the bucket does not determine the worker.
  MisdirectionLog(const EngineContext& context, bool enabled);

  void Add(Transport transport, const Flow& flow, const SocketAddress& peer,
           const SocketAddress& local);

  // The first misdirection of each bucket since the last call.
  std::vector<Misdirection> TakeSamples();

 private:
  const EngineContext& context_;
  bool enabled_;
  std::vector<bool> sampled_;  // by bucket
  std::vector<Misdirection> samples_;
};

}  // namespace rss
