// What all parts of a worker's engine share.
#pragma once

#include <uv.h>

#include <memory>

#include "core/bucket_table.h"
#include "core/counters.h"
#include "core/refusal.h"

namespace rss {

struct EngineContext {
  uv_loop_t* loop = nullptr;
  std::shared_ptr<BucketTable> table;
  int worker = 0;
  BucketCounters* counters = nullptr;  // this worker's, one per bucket
  RefusalCounts* refusals = nullptr;   // this worker's

  BucketCounters& counter(int bucket) const { return counters[bucket]; }
  bool owns(int bucket) const { return table->owner(bucket) == worker; }
};

}  // namespace rss
