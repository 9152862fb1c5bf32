// Rows of the tables that C++ shares with JavaScript. lib/contract.ts names their words, and
// test/unit/contract.test.ts compares it with this file.
#pragma once

#include <stddef.h>
#include <stdint.h>

namespace rss {

// --- Stream connections -------------------------------------------------------------------------

// A connection that has been opened.
struct OpenedRow {
  uint32_t connection;
  uint32_t bucket;
  uint32_t flow_id;
  uint32_t hash_type;
  uint32_t from_kernel;
  uint32_t reserved[3];
};

// A connection that has been closed.
struct ClosedRow {
  uint32_t connection;
  int32_t error;  // -errno; 0 after an orderly end
};

// The answer to OutputRow::kTaken or kAcknowledged.
struct CompletedRow {
  static constexpr uint32_t kDone = 1;      // flag; without it the connection ended first
  static constexpr uint32_t kReusable = 2;  // flag: nothing refers to the sent memory any longer

  uint32_t token;
  uint32_t flags;
};

// What has happened to two spliced connections.
struct SplicedRow {
  uint32_t token;       // StreamEngine::Splice() has returned it
  uint32_t event;       // SpliceEvent
  uint32_t connection;  // the one that the event concerns; 0: both
  int32_t error;        // -errno of SpliceEvent::kError
  // Bytes taken from the first connection for the second, and back: two words each.
  uint32_t forth_low;
  uint32_t forth_high;
  uint32_t back_low;
  uint32_t back_high;
};

enum class SpliceEvent : uint32_t {
  kEnd,        // both peers have closed their sides. Both connections end
  kError,      // a connection has failed. The other one is reset
  kClosed,     // JavaScript has ended a connection. The other one ends too
  kIdle,       // no byte for the time given. Both connections return to the engine, as below
  kMax,        // the limit of bytes is reached
  kUnspliced,  // JavaScript has asked for it
  kHalfEnd,    // a peer has closed its side. The other direction goes on
};
// Their names in JavaScript, in the same order.
constexpr const char* kSpliceEventNames[] = {"end", "error",     "closed", "idle",
                                             "max", "unspliced", "halfEnd"};

// The numbers of rows that a turn reports.
struct TurnRow {
  uint32_t opened;
  uint32_t inputs;
  uint32_t closed;
  uint32_t completed;
  uint32_t spliced;
};

// Input of a connection. Eight words rather than six, so that a row never straddles two cache
// lines.
struct InputRow {
  static constexpr uint32_t kUntouched = UINT32_MAX;
  static constexpr uint32_t kEnded = 1;  // flag: the peer has closed its side

  uint32_t connection;
  uint32_t offset;  // in the input slab
  uint32_t length;
  uint32_t flags;
  uint32_t bucket;
  uint32_t consumed;  // written by JavaScript; kUntouched: everything
  uint32_t needed;    // unconsumed bytes required before the next row; 0: one more than there are
  uint32_t reserved;
};

// Output: bytes of a registered source, or a command in the source's place. kTaken and
// kAcknowledged carry a token as their offset. They ask for a CompletedRow once all earlier output
// has been taken by the kernel, or acknowledged by the peer's kernel.
struct OutputRow {
  static constexpr uint32_t kInSlab = 0, kOutSlab = 1;  // the sources that exist from the start
  static constexpr uint32_t kEnd = UINT32_MAX, kDestroy = UINT32_MAX - 1;
  static constexpr uint32_t kTaken = UINT32_MAX - 2, kAcknowledged = UINT32_MAX - 3;

  uint32_t to;  // a connection
  uint32_t source;
  uint32_t offset;
  uint32_t length;
};

// --- Connections that become sockets of Node ----------------------------------------------------

struct PendingRow {
  uint32_t bucket;
  uint32_t flow_id;
  uint32_t hash_type;
  uint32_t from_kernel;
};

// --- Datagrams ----------------------------------------------------------------------------------

struct DatagramRow {
  static constexpr uint32_t kTruncated = 1;  // flag

  uint32_t offset;  // in the input slab
  uint32_t length;
  uint32_t flags;
  uint32_t bucket;
  uint32_t flow_id;
  uint32_t hash_type;
  uint32_t socket;    // the connected socket that received it; 0: a bound one
  uint32_t endpoint;  // index of the bound one's address among the server's UDP addresses
};

// A datagram to send. Laid out like OutputRow.
struct ReplyRow {
  static constexpr uint32_t kInSlab = 0;            // answers row `to` from the input slab
  static constexpr uint32_t kOutSlab = 1;           // answers row `to` from the output slab
  static constexpr uint32_t kOutSlabConnected = 2;  // the same, through connected socket `to`
  static constexpr uint32_t kOutSlabTarget = 3;     // a TargetHead and bytes, by endpoint `to`

  uint32_t to;
  uint32_t source;
  uint32_t offset;
  uint32_t length;
};

// An address as parseAddress() of the addon gives it.
struct AddressWords {
  uint32_t family;  // 4 or 6; 0: none
  uint32_t scope;
  uint8_t bytes[16];
};

// Precedes the bytes of a datagram that answers none.
struct TargetHead {
  AddressWords peer;
  AddressWords source;
  uint32_t port;
  uint32_t flow_id;
  uint32_t hash_type;  // 0: no flow is given
  uint32_t reserved;
};

// Number of 32-bit words of a row.
template <typename Row>
constexpr size_t kWords = sizeof(Row) / sizeof(uint32_t);

static_assert(sizeof(InputRow) == 32 && sizeof(OpenedRow) == 32 && sizeof(DatagramRow) == 32,
              "half a cache line");
static_assert(offsetof(OutputRow, to) == offsetof(ReplyRow, to) &&
                  offsetof(OutputRow, source) == offsetof(ReplyRow, source) &&
                  offsetof(OutputRow, offset) == offsetof(ReplyRow, offset) &&
                  offsetof(OutputRow, length) == offsetof(ReplyRow, length) &&
                  sizeof(OutputRow) == sizeof(ReplyRow),
              "JavaScript writes both kinds with one class");

}  // namespace rss
