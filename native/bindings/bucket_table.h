#pragma once

#include <stdint.h>

#include <memory>

#include "core/bucket_table.h"

namespace rss {

// The process's table with that id, or null. Tables are made by the main thread and live until it
// lets go of them; a port of a worker holds on to its own.
std::shared_ptr<BucketTable> FindBucketTable(uint32_t id);

}  // namespace rss
