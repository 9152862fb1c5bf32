// Why a row that JavaScript has written is not carried out.
#pragma once

#include <stddef.h>

namespace rss {

// In the order of kRefusalNames. JavaScript alone finds the last three.
enum class Refusal {
  kNone,
  kUnknownConnection,
  kEndedConnection,
  kUnknownSource,
  kOutOfRange,
  kSplicedConnection,
  kNotInBatch,
  kUnreserved,
  kOverconsumed,
  kBadMark,
};

constexpr const char* kRefusalNames[] = {"unknownConnection", "endedConnection",   "unknownSource",
                                         "outOfRange",        "splicedConnection", "notInBatch",
                                         "unreserved",        "overconsumed",      "badMark"};
constexpr size_t kRefusals = sizeof kRefusalNames / sizeof *kRefusalNames;

// A worker's record in shared memory: one writer, any number of readers. Doubles, as in
// BucketCounters.
struct RefusalCounts {
  double count[kRefusals];

  void Add(Refusal refusal, size_t rows = 1) {
    count[static_cast<size_t>(refusal) - 1] += static_cast<double>(rows);
  }
};

}  // namespace rss
