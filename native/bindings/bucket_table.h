#pragma once

#include <stdint.h>

#include <memory>

#include "core/bucket_table.h"

namespace rss {

// The process's table with that id, or null. Tables are made by the main thread and live until it
// destroys them; the engines of a worker share the ownership.
std::shared_ptr<BucketTable> FindBucketTable(uint32_t id);

}  // namespace rss
