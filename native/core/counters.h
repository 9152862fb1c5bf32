// What a worker counts for each bucket. Lives in shared memory: one writer, any number of readers.
#pragma once

#include <stddef.h>

namespace rss {

// Doubles, because JavaScript reads and adds to them too: exact up to 2^53, and aligned 8-byte
// stores do not tear on the supported systems.
struct BucketCounters {
  double accepted;             // connections this worker accepted for the bucket
  double served;               // connections given to the user's code
  double handed_off;           // of those accepted, the ones given to the bucket's owner
  double inbox_full;           // hand-offs and forwards that the owner's inbox had no room for
  double misdirected;          // connections and datagrams read by a worker that is not the owner
  double bytes_in;             // payload read, TCP and UDP
  double bytes_out;            // payload written
  double datagrams_in;         // datagrams given to the user's code
  double datagrams_out;        // datagrams sent
  double datagrams_forwarded;  // datagrams given to the bucket's owner
  double datagrams_truncated;  // datagrams larger than their cell
  double datagrams_dropped;    // replies that the kernel did not take
  double requests;             // counted by the user's code
  double closed;               // of those served, the ones that have ended
  double accept_pauses;        // how often accepting paused at the limit of connections
  double accept_paused_us;     // total length of the pauses that have ended
  double mispredicted;         // flows of this worker's own sockets: see FlowPredictor::Check()
  double without_id;           // connections and datagrams to whose bucket the card gave no id
  double placement_samples;    // flows of which the CPU of their packets is known: a sample
  double misplaced;            // of those, the ones whose packets another CPU processed
  double connected_drops;      // datagrams that full sockets of connect() have lost
  double handshakes;           // of TLS that are complete: these connections are served
  double handshakes_failed;    // of TLS that have ended or timed out before
  double promoted_drops;       // datagrams that sockets of promoted flows have lost
};
static_assert(sizeof(BucketCounters) % 64 == 0, "whole cache lines, so that workers share none");

// Names of the fields above, in order, for the readers in JavaScript.
constexpr const char* kCounterNames[] = {"accepted",           "served",
                                         "handedOff",          "inboxFull",
                                         "misdirected",        "bytesIn",
                                         "bytesOut",           "datagramsIn",
                                         "datagramsOut",       "datagramsForwarded",
                                         "datagramsTruncated", "datagramsDropped",
                                         "requests",           "closed",
                                         "acceptPauses",       "acceptPausedUs",
                                         "mispredicted",       "withoutId",
                                         "placementSamples",   "misplaced",
                                         "connectedDrops",     "handshakes",
                                         "handshakesFailed",   "promotedDrops"};
constexpr size_t kCounterStride = sizeof(BucketCounters) / sizeof(double);

}  // namespace rss
