// What a worker counts of promoted flows: those that have a socket of their own. Lives in shared
// memory, as BucketCounters do.
#pragma once

#include <stddef.h>

namespace rss {

struct PromotionCounts {
  double now;                 // sockets of flows that this worker reads
  double ever;                // flows of which this worker has opened a socket
  double idle;                // sockets closed because nothing had come
  double evicted;             // sockets closed to make room
  double without_descriptor;  // given up: the process has no descriptor left
  double without_address;     // given up: the socket could not be bound or connected
  double without_room;        // given up: the owner's inbox was full
  double strays;              // datagrams of other peers that such a socket has had
};

// Names of the fields above, in order, for the readers in JavaScript.
constexpr const char* kPromotionNames[] = {
    "now",         "ever",  "idle", "evicted", "withoutDescriptor", "withoutAddress",
    "withoutRoom", "strays"};
constexpr size_t kPromotionCounts = sizeof(PromotionCounts) / sizeof(double);
static_assert(sizeof kPromotionNames / sizeof *kPromotionNames == kPromotionCounts);

}  // namespace rss
