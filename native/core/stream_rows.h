// Rows of the tables that the stream engine shares with JavaScript: lib/worker/stream.ts names
// their words.
#pragma once

#include <stddef.h>
#include <stdint.h>

namespace rss {

// A connection that has come.
struct OpenedRow {
  uint32_t connection;
  uint32_t bucket;
  uint32_t flow_id;
  uint32_t hash_type;
  uint32_t from_kernel;
  uint32_t reserved[3];
};

// One that has gone: -errno, 0 for an orderly end.
struct ClosedRow {
  uint32_t connection;
  int32_t error;
};

// How far the output of a connection has come: what OutputRow::kTaken and kAcknowledged ask for.
struct CompletedRow {
  static constexpr uint32_t kDone = 1;      // flag: else the connection has ended before
  static constexpr uint32_t kReusable = 2;  // flag: nobody refers any more to what was sent

  uint32_t token;
  uint32_t flags;
};

// Input of a connection. Eight words, not four: the flags and what JavaScript answers get words of
// their own, and a row never straddles two cache lines.
struct InputRow {
  static constexpr uint32_t kUntouched = UINT32_MAX;
  static constexpr uint32_t kEnded = 1;  // flag: the peer sends no more

  uint32_t connection;
  uint32_t offset;  // in the in slab
  uint32_t length;
  uint32_t flags;
  uint32_t bucket;
  uint32_t consumed;  // by JavaScript; untouched: all of it
  uint32_t needed;  // of the unconsumed bytes, before the connection is offered again; 0: any more
  uint32_t reserved;
};

// Output: bytes of a registered buffer, or a thing to do in their place. kTaken and kAcknowledged,
// with a token as `offset`, ask for a CompletedRow once the kernel, or the peer's kernel, has got
// all output that stands before them.
struct OutputRow {
  static constexpr uint32_t kInSlab = 0, kOutSlab = 1;
  static constexpr uint32_t kEnd = UINT32_MAX, kDestroy = UINT32_MAX - 1;
  static constexpr uint32_t kTaken = UINT32_MAX - 2, kAcknowledged = UINT32_MAX - 3;

  uint32_t connection;
  uint32_t buffer;
  uint32_t offset;
  uint32_t length;
};

static_assert(sizeof(InputRow) == 32 && sizeof(OpenedRow) == 32, "half a cache line");
static_assert(sizeof(OutputRow) == 16 && sizeof(ClosedRow) == 8 && sizeof(CompletedRow) == 8,
              "as JavaScript lays them out");

}  // namespace rss
