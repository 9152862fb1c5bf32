// What every part of a worker's engine needs to know.
#pragma once

#include <uv.h>

#include <memory>

#include "core/bucket_table.h"
#include "core/counters.h"

namespace rss {

struct EngineContext {
  uv_loop_t* loop = nullptr;
  std::shared_ptr<BucketTable> table;
  int worker = 0;
  BucketCounters* counters = nullptr;  // one per bucket, this worker's own

  BucketCounters& counter(int bucket) const { return counters[bucket]; }
  bool owns(int bucket) const { return table->owner(bucket) == worker; }
};

}  // namespace rss
