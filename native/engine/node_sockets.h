// Connections that JavaScript serves as Node sockets. Each holds a place under the connection limit
// and is counted for its bucket when it ends.
#pragma once

#include <utility>
#include <vector>

#include "engine/engine_context.h"

namespace rss {

class NodeSockets {
 public:
  explicit NodeSockets(const EngineContext& context)
      : context_(context),
        places_(static_cast<size_t>(context.table->classifier().config().buckets())) {}

  void Add(int bucket, Place place) {
    if (!closed_) places_[static_cast<size_t>(bucket)].push_back(std::move(place));
  }
  // For a connection that has left the stream engine, and has given up its place there.
  void Add(int bucket) {
    if (!closed_) Add(bucket, context_.table->limit().Force());
  }
  // The socket's connection has moved to the stream engine.
  void Moved(int bucket) {
    auto& places = places_[static_cast<size_t>(bucket)];
    if (!places.empty()) places.pop_back();
  }
  void Ended(int bucket) {
    auto& places = places_[static_cast<size_t>(bucket)];
    if (places.empty()) return;
    places.pop_back();
    context_.counter(bucket).closed += 1;
  }
  // The thread ends, which closes its sockets. Idempotent.
  void Close() {
    closed_ = true;
    for (size_t bucket = 0; bucket < places_.size(); ++bucket) {
      context_.counter(static_cast<int>(bucket)).closed +=
          static_cast<double>(places_[bucket].size());
      places_[bucket].clear();
    }
  }

 private:
  const EngineContext& context_;
  std::vector<std::vector<Place>> places_;  // by bucket
  bool closed_ = false;
};

}  // namespace rss
